# SPDX-License-Identifier: GPL-2.0-only
"""Traces performed for real: each page is touched in each window as often as the trace has it, no more and no less."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from damon.native import WORKLOAD_PROGRAM
from damon.workload import plan
from damon.workload.load import parse_workload
from damon.workload.plan import Options, compile_plan
from damon.workload.replays import end_us, workload_of
from damon.workload.tracefile import mapping
from damon.workload.tracefile.change import scaled_page
from damon.workload.tracefile.form import TRUTH, Row, TracedArea
from damon.workload.tracefile.reader import Trace
from tests.examples import examples
from tests.waiting import until
from tests.workload.native import Report, perform_plan, virtual_time
from tests.workload.traces import MS, Window, write

PAGE = 4096
#: Windows of the traces here, and the time after which the program stops to be looked at.
WINDOW_MS = 20


def _trace(path: Path, nr_pages: int, windows: Sequence[list[Row]], areas: Sequence[TracedArea] = ()) -> Path:
    length = len(windows) * WINDOW_MS * MS
    made = [Window(n * WINDOW_MS * MS, (n + 1) * WINDOW_MS * MS, rows) for n, rows in enumerate(windows)]
    whole = [TracedArea("heap", 0, 0, nr_pages, mapped=((0, length),))]
    return write(path, [("web", nr_pages, made)], list(areas) or whole, length)


def _random_rows(rnd: Random, nr_pages: int, write_share: float, most: int = 200) -> list[Row]:
    """Runs and single pages, with whole numbers of touches."""
    rows: list[Row] = []
    page = rnd.randrange(nr_pages)
    while page < nr_pages:
        end = min(page + rnd.choice([1, 1, 1, 3, 17]), nr_pages)
        rows.append((page, end, float(rnd.choice([1, 1, 2, 3, 7, rnd.randint(1, most)])), write_share))
        page = end + rnd.choice([0, 0, 1, 30])
    return rows


@dataclass
class Replayed:
    """The program at work, which stops at the end of each window."""

    pid: int
    areas: list[dict[str, Any]]

    def bytes(self) -> list[int]:
        """The byte that touches count up, of each page of all areas that are mapped."""
        found: list[int] = []
        with open(f"/proc/{self.pid}/mem", "rb", buffering=0) as memory:
            for area in self.areas:
                for at in range(area["start"], area["end"], PAGE):
                    memory.seek(at + 64)
                    found += memory.read(1)
        return found

    def next_window(self) -> None:
        os.kill(self.pid, signal.SIGCONT)
        self.stopped()

    def stopped(self) -> None:
        until(lambda: _state(self.pid) == "T")


def _state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


@contextmanager
def _replayed(plan: str) -> Iterator[Replayed]:
    env = {**virtual_time(), "VIRTUAL_STOP_MS": str(WINDOW_MS)}
    pipe = subprocess.PIPE
    with subprocess.Popen([WORKLOAD_PROGRAM], stdin=pipe, stdout=pipe, text=True, env=env) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(plan)
            process.stdin.close()
            process.stdin = None
            ready = json.loads(process.stdout.readline())
            found = Replayed(ready["pid"], ready["areas"])
            found.stopped()
            yield found
        finally:
            process.kill()


def _plan(path: Path, options: dict[str, Any] | None = None, **more: Any) -> str:
    workload = workload_of(path, {"populate": False, **(options or {})})
    return compile_plan(workload, Options(duration_us=end_us(workload), report_us=0, **more))


def _end(plan: str) -> Report:
    end = perform_plan(plan)[-1]
    assert end["event"] == "end"
    return end


@pytest.mark.parametrize("round_us", [1000, 3000, 10_000])
@pytest.mark.parametrize("seed", range(3))
def test_each_page_is_written_as_often_as_its_window_has_it(tmp_path: Path, seed: int, round_us: int) -> None:
    """Page by page and window by window, exactly; each in its own window."""
    rnd = Random(seed)
    windows = [_random_rows(rnd, 150, 1.0) for _ in range(6)]
    path = _trace(tmp_path / "t", 150, windows)
    with _replayed(_plan(path, seed=seed, round_us=round_us)) as running:
        before = [0] * 150
        for number, rows in enumerate(windows):
            now = running.bytes()
            made = [(b - a) % 256 for a, b in zip(before, now, strict=True)]
            assert made == [int(Window(0, 1, rows).touches(page)) for page in range(150)], number
            before = now
            if number < len(windows) - 1:
                running.next_window()


@examples(25)
@given(st.integers(0, 2**32), st.sampled_from([0.0, 1.0, 51 / 255, 0.5]))
def test_all_touches_are_made(tmp_path_factory: pytest.TempPathFactory, seed: int, write_share: float) -> None:
    rnd = Random(seed)
    windows = [_random_rows(rnd, 400, write_share, 9) for _ in range(rnd.randint(1, 8))]
    path = _trace(tmp_path_factory.mktemp("t") / "t", 400, windows)
    end = _end(_plan(path, seed=seed))
    assert end["touches"] == sum((high - low) * each for rows in windows for low, high, each, _ in rows)
    assert end["dropped"] == 0
    assert end["late_us"] < 1500


@pytest.mark.parametrize("share", [0.0, 51 / 255, 0.5, 254 / 255, 1.0])
def test_the_share_of_writes(tmp_path: Path, share: float) -> None:
    """Of each page as near as whole numbers can be, and of all of them."""
    path = _trace(tmp_path / "t", 500, [[(0, 100, 10.0, share), *((n, n + 1, 10.0, share) for n in range(100, 500))]])
    with _replayed(_plan(path)) as running:
        writes = running.bytes()
    assert all(int(10 * share) <= one <= int(10 * share) + 1 for one in writes)
    assert sum(writes) == pytest.approx(5000 * share, abs=70)
    assert sum(writes[:100]) == pytest.approx(1000 * share, abs=30)


@pytest.mark.parametrize("each", [0.01, 0.3, 1.5, 6.25])
def test_fractions_of_a_touch_are_made_by_chance(tmp_path: Path, each: float) -> None:
    path = _trace(
        tmp_path / "t", 6000, [[(0, 3000, each, 1.0), *((n, n + 1, each, 1.0) for n in range(3000, 6000))]] * 2
    )
    with _replayed(_plan(path)) as running:
        first = running.bytes()
        running.next_window()
        both = running.bytes()
    assert {one - int(each) for one in first} <= {0, 1}
    assert sum(first) == pytest.approx(6000 * each, abs=6000 * 0.03)
    assert sum(both) == pytest.approx(12000 * each, abs=12000 * 0.03)
    assert first != [b - a for a, b in zip(first, both, strict=True)] or each == int(each)


def test_touches_are_spread_evenly_over_the_window(tmp_path: Path) -> None:
    """A page that is touched 20 times in 100 ms is touched in each interval of 5 ms, beside others of other rates."""
    rows = [(n, n + 1, 20.0, 0.0) for n in range(50)] + [(50, 100, 10.0, 0.0), (100, 101, 5.0, 0.0)]
    windows = [Window(n * 100 * MS, (n + 1) * 100 * MS, rows) for n in range(10)]
    areas = [
        TracedArea(name, 0, first, pages, mapped=((0, 1000 * MS),))
        for name, first, pages in (("all", 0, 50), ("half", 50, 50), ("quarter", 100, 1))
    ]
    end = _end(_plan(write(tmp_path / "t", [("web", 101, windows)], areas, 1000 * MS)))
    assert [area["share"] for area in end["areas"]] == [pytest.approx(share, abs=0.03) for share in (1, 0.5, 0.25)]


def test_areas_come_and_go_at_their_times(tmp_path: Path) -> None:
    """What an area has in windows in which it is not mapped is not touched; each has its own pages."""
    rows: list[Row] = [(0, 10, 3.0, 1.0), (10, 30, 2.0, 1.0)]
    areas = [
        TracedArea("some", 0, 0, 10, mapped=((40 * MS, 80 * MS), (100 * MS, 120 * MS))),
        TracedArea("all", 0, 10, 20, "file", mapped=((0, 120 * MS),)),
    ]
    path = _trace(tmp_path / "t", 30, [rows] * 6, areas)
    workload = workload_of(path)
    reports = perform_plan(compile_plan(workload, Options(duration_us=120_000, report_us=20_000)))
    seen = [(round(r["seconds"] / 0.02), r["areas"][0]["start"] != 0) for r in reports if r["event"] == "report"]
    assert seen == [(1, False), (2, True), (3, True), (4, False), (5, True)] or dict(seen).items() >= {
        1: False, 3: True, 5: True,
    }.items()  # fmt: skip
    assert [area["touches"] for area in reports[-1]["areas"]] == [3 * 30, 6 * 40]


@pytest.mark.parametrize(
    ("options", "touches", "ms"),
    [
        ({}, [10, 20, 30, 40], 80),
        ({"loop": True}, [30, 60, 60, 80], 200),
        ({"from": "20ms"}, [0, 20, 30, 40], 60),
        ({"from": "30ms", "to": "50ms"}, [0, 10, 15, 0], 20),
        ({"from": "20ms", "to": "40ms", "loop": True}, [0, 60, 0, 0], 60),
        ({"time_scale": 2.5}, [10, 20, 30, 40], 200),
        ({"time_scale": 0.1}, [10, 20, 30, 40], 8),
        ({"size_scale": 3}, [10] * 3 + [20] * 3 + [30] * 3 + [40] * 3, 80),
        ({"size_scale": 0.5}, [10, 30], 80),
    ],
    ids=str,
)
def test_parts_rounds_and_scales(tmp_path: Path, options: dict[str, Any], touches: list[int], ms: int) -> None:
    """Page n is touched in window n."""
    path = _trace(tmp_path / "t", 4, [[(n, n + 1, 10.0 * (n + 1), 1.0)] for n in range(4)])
    areas = [TracedArea(f"page-{n}", 0, n, 1, mapped=((0, 80 * MS),)) for n in range(4)]
    if not any(name.startswith("size") for name in options):  # then each page's touches are reported
        path = _trace(tmp_path / "t", 4, [[(n, n + 1, 10.0 * (n + 1), 1.0)] for n in range(4)], areas)
    workload = workload_of(path, options)
    assert end_us(workload) in (0, ms * 1000)
    plan = compile_plan(workload, Options(duration_us=ms * 1000, report_us=0))
    found = [area["touches"] for area in _end(plan)["areas"]]
    assert found == (touches if len(found) > 1 else [sum(touches)])


def test_a_trace_beside_phases_and_another_trace(tmp_path: Path) -> None:
    _trace(tmp_path / "t.trace", 10, [[(0, 10, 4.0, 1.0)]] * 5)
    data = {
        "areas": {
            "one": {"trace": "t.trace", "loop": True},
            "two": {"trace": "t.trace", "process": "own", "from": "40ms"},
            "mine": {"size": "40K", "process": "own"},
        },
        "phases": [{"duration": "50ms", "access": [{"area": "mine", "rate": 10000}]}, {"duration": "50ms"}],
    }
    workload = parse_workload(data, directory=tmp_path)
    assert end_us(workload) == 0
    reports = perform_plan(compile_plan(workload, Options(duration_us=200_000)))
    found = {area["name"]: area["touches"] for r in reports if r["event"] == "end" for area in r["areas"]}
    assert found == {"one.heap": 400, "two.heap": 120, "mine": pytest.approx(500, abs=15)}


def test_more_than_can_be_made_is_dropped_and_counted(tmp_path: Path) -> None:
    """What was not made in time is not made later."""
    path = _trace(tmp_path / "t", 100, [[(0, 100, 1e9, 1.0)]] * 3)
    end = _end(_plan(path))
    assert end["seconds"] < 0.1
    assert end["touches"] > 1000
    assert end["touches"] + end["dropped"] == pytest.approx(3e11, rel=0.01)
    assert end["late_us"] > 10_000


def test_a_page_that_is_late_comes_all_the_same(tmp_path: Path) -> None:
    """Of what is late the first touch of a page is made, or it would never be in memory; no other one is."""
    windows: list[list[Row]] = [[(0, 10, 1e9, 1.0), (10, 400, 2.0, 1.0)], [], [(0, 1, 1.0, 1.0)]]
    path = _trace(tmp_path / "t", 400, windows)
    with _replayed(_plan(path)) as running:
        for _ in windows[1:]:
            running.next_window()
        assert set(running.bytes()[10:]) == {1, 2}


def test_rounds_of_a_nanosecond_do_not_keep_others_from_their_turn(tmp_path: Path) -> None:
    windows = [Window(0, 1, [(0, 1, 1.0, 1.0)])]
    path = write(tmp_path / "t", [("web", 1, windows)], [TracedArea("a", 0, 0, 1, mapped=((0, 1),))], 1, loop=True)
    _trace(tmp_path / "other", 10, [[(0, 10, 4.0, 1.0)]] * 5)
    data = {"areas": {"a": {"trace": str(path)}, "b": {"trace": str(tmp_path / "other"), "process": "a"}}}
    end = _end(compile_plan(parse_workload(data), Options(duration_us=100_000)))
    assert end["seconds"] < 0.2
    assert end["areas"][1]["touches"] > 0


def test_scaled_pages_are_those_of_the_simulator(tmp_path: Path) -> None:
    path = _trace(tmp_path / "t", 40, [[(3, 4, 7.0, 1.0), (10, 25, 2.0, 1.0), (39, 40, 1.0, 1.0)]])
    for scale in (0.3, 1.7, 4.0):
        with _replayed(_plan(path, {"size_scale": scale})) as running:
            now = running.bytes()
        assert len(now) == scaled_page(40, scale)
        touches = Window(0, 1, [(3, 4, 7.0, 1.0), (10, 25, 2.0, 1.0), (39, 40, 1.0, 1.0)]).touches
        assert now == [int(touches(int(page / scale))) for page in range(len(now))]


BAD_LINES = [
    "trace", "replay 0 0 0 4 4 0 9 0 1.0 1.0 64 0", "trace {t}\nreplay 1 0 0 4 4 0 9 0 1.0 1.0 64 0",
    "trace {t}\nreplay 0 1 0 4 4 0 9 0 1.0 1.0 64 0", "trace {t}\nreplay 0 0 1 4 4 0 9 0 1.0 1.0 64 0",
    "trace {t}\nreplay 0 0 0 4 4 -1 9 0 1.0 1.0 64 0", "trace {t}\nreplay 0 0 0 4 4 0 0 0 1.0 1.0 64 0",
    "trace {t}\nreplay 0 0 0 4 4 0 9 0 0 1.0 64 0", "trace {t}\nreplay 0 0 0 4 4 0 9 0 1.0 nan 64 0",
    "trace {t}\nreplay 0 0 0 4 5000000000 0 9 0 1.0 1.0 64 0", "trace {t}\nturn 0 1",
    "trace {t}\nreplay 0 0 0 4 4 0 9 0 1.0 1.0 64 0\nturn 5 1\nturn 5 0",
    "trace {t}\nreplay 0 0 0 4 4 0 9 0 1.0 1.0 65 1", "trace {t}\nreplay 0 0 0 4 4 0 9 0 1.0 1.0 64 100000",
    "trace {t}\nreplay 0 0 0 4 4 0 9 0 1.0 1.0 1000000000000 1", "trace {t}\nreplay 0 0 0 4 4 0 9 0 1.0 1.0 64 1",
    "trace /dev/zero", "trace {d}", "trace {d}/none",
]  # fmt: skip


@pytest.mark.parametrize("lines", BAD_LINES)
def test_a_plan_that_does_not_fit_its_trace_is_refused(tmp_path: Path, lines: str) -> None:
    path = _trace(tmp_path / "t", 4, [[(0, 4, 1.0, 1.0)]])
    text = lines.format(t=path, d=tmp_path)
    plan = f"options 1 5000 0 0 1000 0 0 0 /tmp\nprocess p\narea 0 0 16384 1 1 0 a\n{text}\nphase 1 x\n"
    result = subprocess.run([WORKLOAD_PROGRAM, "--check"], input=plan, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.count("\n") == 1


def test_a_file_that_changed_since_the_plan_is_refused(tmp_path: Path) -> None:
    path = _trace(tmp_path / "t", 4, [[(0, 4, 1.0, 1.0)]] * 3)
    plan = _plan(path)
    data = bytearray(path.read_bytes())
    data[64 + 8 + 8 : 64 + 8 + 12] = b"\0\0\xc0\x7f"  # touches of the first row: NaN
    path.write_bytes(data)
    result = subprocess.run([WORKLOAD_PROGRAM], input=plan, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.endswith("window 0 is damaged; import the recording again\n")


def test_each_area_of_a_capture_is_looked_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A compile has a thousand areas; a plan of them takes no million looks."""
    areas = [TracedArea(f"a{n}", 0, n, 1, mapped=((0, 20 * MS),)) for n in range(30)]
    made = [Window(0, 20 * MS, [(0, 30, 1.0, 1.0)])]
    workload = workload_of(write(tmp_path / "t", [("web", 30, made)], areas, 20 * MS, origin=TRUTH))
    looked: list[int] = []
    whole = mapping.area_of

    def area_of(trace: Trace, number: int) -> TracedArea:
        looked.append(number)
        return whole(trace, number)

    monkeypatch.setattr(plan, "area_of", area_of)
    monkeypatch.setattr(mapping, "area_of", area_of)
    assert compile_plan(workload, Options()).count("replay ") == 30
    assert sorted(looked) == list(range(30))
