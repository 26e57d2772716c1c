# SPDX-License-Identifier: GPL-2.0-only
"""The kernel's trace events as text, and instances of tracefs; ``tests/vm/test_host.py`` has them of a kernel."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from damon.core.trace import TraceEvent
from damon.errors import MissingCapability
from damon.host import instances
from damon.host.found import Found, restore
from damon.model.attrs import DamonAttrs
from damon.model.context import DamonCtx
from damon.trace.host import Events, parse, there
from damon.trace.text import script_lines

HEAD = "       kdamond.0-321     [001] .....   "
TWO = f"""\
# tracer: nop
{HEAD}12.345678: damon_aggregated: target_id=0 nr_regions=2 4096-8192: 3 5
{HEAD}12.345679: damon_aggregated: target_id=0 nr_regions=2 8192-20480: 0 17
"""


def _events(text: str, *pids: int) -> tuple[list[TraceEvent], Events]:
    """In pieces, as a pipe gives them."""
    events = Events({pid: DamonCtx() for pid in pids})
    data = text.encode()
    found = [event for at in range(0, len(data), 7) for event in events.feed(data[at : at + 7])]
    return found, events


def test_the_regions_of_a_target_are_one_event() -> None:
    (event,), events = _events(TWO, 321)
    assert (event.name, event.time_ns, event.comm, event.pid, event.cpu) == (
        "damon_aggregated", 12_345_678_000, "kdamond.0", 321, 1,
    )  # fmt: skip
    assert (event.fields, event.nr, events.lost) == ((0, 2), 2, 0)
    assert list(event.values()) == [(0, 2, 4096, 8192, 3, 5), (0, 2, 8192, 20480, 0, 17)]
    assert list(script_lines(event))[1].endswith("damon:damon_aggregated: target_id=0 nr_regions=2 8192-20480: 0 17")


def test_workers_are_told_apart() -> None:
    """Their lines may be mixed; a name may have blanks and hyphens."""
    other = TWO.replace("kdamond.0-321", "my worker-1-322").splitlines()
    mixed = "\n".join(line for pair in zip(TWO.splitlines(), other, strict=True) for line in pair)
    found, events = _events(f"{mixed}\n", 321, 322)
    assert [(event.pid, event.comm, event.nr) for event in found] == [
        (321, "kdamond.0", 2), (322, "my worker-1", 2),
    ]  # fmt: skip
    assert events.lost == 0


def test_other_events() -> None:
    text = f"""\
{HEAD}1.000001: damos_esz: ctx_idx=0 scheme_idx=2 esz=4096
{HEAD}1.000002: damos_before_apply: ctx_idx=0 scheme_idx=1 target_idx=0 nr_regions=9 0-4096: 1 2
{HEAD}1.000003: damon_region_aggregated: target_id=1 nr_regions=1 4096-8192: 3 5 probe_hits=02 ff
{HEAD}1.000004: sched_switch: prev_comm=x prev_pid=1 ==> next_comm=y
{HEAD}1.000005: damos_esz: ctx_idx=0 scheme_idx=broken
{HEAD}1.000006: damon_aggregated: target_id=0 nr_regions=1 nonsense
"""
    found, _ = _events(text, 321)
    assert [list(event.values()) for event in found] == [
        [(0, 2, 4096)], [(0, 1, 0, 9, 0, 4096, 1, 2)], [(1, 1, 4096, 8192, 3, 5, b"\x02\xff")],
    ]  # fmt: skip


def test_tuned_intervals_are_those_of_later_events() -> None:
    text = f"{HEAD}1.000001: damon_monitor_intervals_tune: sample_us=20000\n{TWO}"
    found, _ = _events(TWO + text, 321)
    assert [event.attrs.aggr_interval for event in found] == [100_000, 400_000, 400_000]
    assert found[-1].attrs == DamonAttrs(sample_interval=20_000, aggr_interval=400_000)


def test_what_is_lost_is_counted_and_no_part_is_shown() -> None:
    first, second = (line for line in TWO.splitlines() if "target_id" in line)
    found, events = _events(f"{first}\nCPU:1 [LOST 40 EVENTS]\n{second}\n{TWO}", 321)
    assert [event.nr for event in found] == [2], "whatever has the whole target"
    assert events.lost == 40 + 1 + 1
    found, events = _events(f"{first}\n{first.replace('target_id=0 nr_regions=2', 'target_id=1 nr_regions=1')}\n", 321)
    assert ([event.fields for event in found], events.lost) == ([(1, 1)], 1)


@pytest.mark.parametrize("line", ["", "#", "kdamond.0", f"{HEAD}1.0: damon_aggregated:", "\x00" * 10])
def test_no_event(line: str) -> None:
    assert parse(line) is None


def test_without_tracefs(tmp_path: Path) -> None:
    with pytest.raises(MissingCapability, match="is not there; mount tracefs"):
        there(tmp_path)


def test_instances_are_removed_with_the_rest(tmp_path: Path) -> None:
    """Of which one is not there any more, and one cannot be removed."""
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    (tmp_path / "b/file").touch()
    found = Found(str(tmp_path), str(tmp_path), instances=[str(tmp_path / name) for name in "abc"])
    assert restore(Found(**found.as_object())) == [  # type: ignore[arg-type]
        f"{tmp_path}/b: cannot be removed: {os.strerror(errno.ENOTEMPTY)} (ENOTEMPTY)"
    ]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b"]


def test_one_that_is_still_open_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [OSError(errno.EBUSY, "busy"), OSError(errno.EBUSY, "busy"), None]

    def rmdir(path: Path) -> None:
        answer = answers.pop(0)
        if answer is not None:
            raise answer

    monkeypatch.setattr(Path, "rmdir", rmdir)
    assert instances.remove(tmp_path / "x") == []
    assert answers == []
