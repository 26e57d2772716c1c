# SPDX-License-Identifier: GPL-2.0-only
"""``damon top``: its tables fit into 80 columns, rates are of the machine's time, and it ends as asked."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pexpect
import pytest
from rich.console import Console

from damon.cli.output import short_size
from damon.cli.top import refresh
from damon.cli.top_view import parts
from damon.damond.snapshot import Snapshot, Target
from damon.library.results import Region
from tests.damond import conftest
from tests.damond.conftest import Damond
from tests.damond.snapshots import CONTEXT, MIB, QUOTA, SCHEME, SNAPSHOT, STAT, with_context
from tests.waiting import HANG_S

start = conftest.start
Start = Callable[..., Damond]


def _lines(now: Snapshot, before: Snapshot | None = None, width: int = 80, regions: int = 10) -> list[str]:
    view = Console(width=width, highlight=False)
    with view.capture() as text:
        for part in parts(now, before, width, regions):
            view.print(part, soft_wrap=not hasattr(part, "columns"))
    return [line.rstrip() for line in text.get().splitlines() if line.strip()]


def _rows(lines: list[str], column: str) -> list[str]:
    """The rows of the table whose heading has ``column``, without extra spaces."""
    (begin,) = [index for index, line in enumerate(lines) if column in line]
    rows = lines[begin + 2 :]
    ends = [index for index, line in enumerate(rows) if set(line.strip()) == {"─"}]
    return [" ".join(row.split()) for row in (rows[: ends[0] - 1] if ends else rows)]


def test_what_it_shows() -> None:
    lines = _lines(SNAPSHOT)
    assert lines[0] == "damond 7, machine sim, 2.5 virtual seconds; free 256.0 MiB of 1.0 GiB"
    assert _rows(lines, "working set") == [
        "0 77 1.5s paddr 5ms 100ms 3 12K of 16K",
        "damon_reclaim off - - - - -",
        "5 off - - - - -",
    ]
    assert _rows(lines, "applied") == ["0/0 pageout 200M 100M - 64M 50%"]
    assert _rows(lines, "most accessed") == ["0 0x1000-0x4000 12K 100% 300ms"], "neighbours with equal counts are one"


def test_rates_are_bytes_in_a_second_of_the_machine() -> None:
    stat = replace(STAT, sz_applied=STAT.sz_applied + 30 * MIB)
    more = with_context(replace(CONTEXT, schemes=(replace(SCHEME, stat=stat),)))
    later = replace(more, now_ns=SNAPSHOT.now_ns + 10**10)
    assert _rows(_lines(later, SNAPSHOT), "applied") == ["0/0 pageout 200M 130M 3.0M 64M 50%"]
    assert _rows(_lines(SNAPSHOT, SNAPSHOT), "applied")[0].split()[4] == "-", "no time has passed"
    assert _rows(_lines(SNAPSHOT, later), "applied")[0].split()[4] == "-", "another service"


def test_schemes_that_wait_have_no_rate() -> None:
    waiting = replace(SCHEME, wmarks=replace(SCHEME.wmarks, activated=False), quota=replace(QUOTA, goals=()))
    rows = _rows(_lines(with_context(replace(CONTEXT, schemes=(waiting,), pause=True))), "applied")
    assert rows == ["0/0 pageout 200M 100M inactive 64M -"]


def test_units_of_addresses_and_processes() -> None:
    context = replace(CONTEXT, addr_unit=16, targets=(Target(1234567, 1, (Region(16, 32, 10, 5),)),))
    lines = _lines(with_context(context))
    assert _rows(lines, "most accessed") == ["0 1234567 0x100-0x200 256 50% 500ms"]
    assert "192K of 256K" in _rows(lines, "working set")[0]


def test_the_widest_fits_into_80_columns_a_row_a_line() -> None:
    far = (1 << 47) - (1 << 21)
    regions = tuple(Region(far - (at << 30), far - (at << 30) + (1 << 29), 20, 10_000 + at) for at in range(20))
    schemes = (replace(SCHEME, action="a_very_long_custom_action", stat=replace(STAT, sz_tried=2**63)),) * 12
    wide = replace(
        CONTEXT, operations="a_custom_set", schemes=schemes, nr_regions=100_000, sample_us=1_250_000,
        aggr_us=25_000_000, targets=(Target(4194304, 20, regions),), monitored_sz=2**47, working_set_sz=2**46 + 2**44,
    )  # fmt: skip
    kdamond = replace(SNAPSHOT.kdamonds[0], name="damon_sample_mtier.1", pid=4194304, cpu_s=123456.7, contexts=(wide,))
    lines = _lines(replace(SNAPSHOT, kdamonds=(kdamond,), now_ns=10**18), regions=10)
    assert max(map(len, lines)) <= 80
    assert len(_rows(lines, "applied")) == 12
    assert len(_rows(lines, "most accessed")) == 10
    assert len(_rows(lines, "working set")) == 1


def test_what_ended_a_worker_is_a_line() -> None:
    ended = replace(SNAPSHOT.kdamonds[0], running=False, error="ValueError('x')")
    assert _lines(replace(SNAPSHOT, kdamonds=(ended,)))[-1] == "0 ended: ValueError('x')"


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0"), (999, "999"), (1000, "1.0K"), (1023, "1.0K"), (10 * 1024, "10K"), (9.96 * 1024, "10K"),
     (9 * MIB, "9.0M"), (999 * MIB, "999M"), (1023 * MIB, "1.0G"), (2**64 - 1, "16E")],
)  # fmt: skip
def test_sizes_in_few_characters(size: float, text: str) -> None:
    assert short_size(size) == text


def test_one_snapshot_after_the_other_until_it_is_to_end() -> None:
    taken = iter([SNAPSHOT, replace(SNAPSHOT, pid=8), replace(SNAPSHOT, pid=9)])
    waits = iter([False, False, True])
    shown: list[tuple[int, int]] = []
    refresh(lambda: next(taken), lambda now, was: shown.append((now.pid, was.pid if was else 0)), lambda: next(waits))
    assert shown == [(7, 0), (8, 7), (9, 8)]


# Of a service.


def test_of_a_service_once_and_as_json(start: Start) -> None:
    damond = start("--sim", "hot-cold", "--cmdline", "damon_reclaim.enabled=Y").wait()
    done = damond.damon("top", "--once")
    assert (done.returncode, done.stderr) == (0, "")
    assert "damon_reclaim" in done.stdout
    told = damond.damon("top", "--json", "--once", "--regions", "3")
    assert (told.returncode, told.stderr, told.stdout.count("\n")) == (0, "", 1)
    found = json.loads(told.stdout)
    (reclaim,) = [one for one in found["kdamonds"] if one["name"] == "damon_reclaim"]
    assert (found["format"], reclaim["module"], reclaim["running"]) == (1, "damon_reclaim", True)
    assert all(len(target["regions"]) <= 3 for target in reclaim["contexts"][0]["targets"])
    assert damond.damon("top", "--interval", "0").returncode == 2
    damond.end(signal.SIGKILL)
    lost = damond.damon("top", "--once")
    assert (lost.returncode, lost.stdout, lost.stderr.count("\n")) == (2, "", 1)


def _terminal(damond: Damond, *words: str) -> Any:
    command = ["-m", "damon.cli.main", "top", "--interval", "20ms", *words]
    return pexpect.spawn(
        sys.executable, command, env=damond.environment | {"TERM": "xterm"}, dimensions=(24, 80), timeout=HANG_S,
        encoding="utf-8",
    )  # fmt: skip


_SCREEN, _BACK = "\x1b[?1049h", "\x1b[?1049l"


@pytest.mark.parametrize("end", ["q", "\x03", "TERM"])
def test_on_a_terminal_it_ends_as_asked_and_leaves_the_screen_as_it_was(start: Start, end: str) -> None:
    damond = start("--sim", "hot-cold", "--cmdline", "damon_reclaim.enabled=Y").wait()
    child = _terminal(damond)
    child.expect_exact(_SCREEN)
    for _ in range(3):
        child.expect_exact("damon_reclaim")
    child.kill(signal.SIGTERM) if end == "TERM" else child.send(end)
    child.expect_exact(_BACK)
    child.expect(pexpect.EOF)
    child.close()
    assert (child.exitstatus, child.signalstatus) == (0, None)
    assert damond.end() == 0


def test_a_service_that_ends_is_a_line_after_the_screen(start: Start) -> None:
    damond = start("--sim", "hot-cold", "--cmdline", "damon_reclaim.enabled=Y").wait()
    child = _terminal(damond)
    child.expect_exact("damon_reclaim")
    damond.end(signal.SIGKILL)
    child.expect_exact(_BACK)
    child.expect(r"damon: damond \(process \d+\): ended before it answered snapshot; [^\r]*\r\n")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 1
