# SPDX-License-Identifier: GPL-2.0-only
"""From raw files of truth to traces: whose a frame was and when, the guest's time, areas, and the replay."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from damon.cli.main import main
from damon.errors import InvalidInput
from damon.guests.truth.areas import Areas
from damon.guests.truth.clock import GuestClock
from damon.guests.truth.convert import Truth, convert
from damon.guests.truth.layout import lay_out
from damon.guests.truth.maps import FOREVER, Maps
from damon.workload.load import load_workload
from damon.workload.tracefile.form import unpack_rows
from damon.workload.tracefile.reader import Trace
from damon.workload.tracefile.writer import TraceWriter
from tests import raw_truth
from tests.raw_truth import MS
from vmtest.truth import form


def maps_of(*looks: str, frames: int = 4096, hole: tuple[int, int] = (4096, 0)) -> Maps:
    maps = Maps(frames, *hole)
    for number, lines in enumerate(looks, 1):
        at = number * 100
        maps.feed(lines.replace("NOW", f"{at:x}").encode())
    return maps


def begin(number: int, areas: str = "1000-9000", name: str = "prog") -> str:
    lines = "".join(f"{area} rw-p 00000000 00:00 0\n" for area in areas.split())
    return f"process {number:x} 9 0 NOW {name}\nareas\n{lines}.\n"


def stays(maps: Maps, frame: int) -> list[tuple[int, int, int]]:
    return [(maps.owners[stay.owner][1], stay.begin, stay.end) for stay in maps.stays.get(frame, [])]


def test_a_page_is_on_its_frame_since_the_look_before() -> None:
    maps = maps_of(begin(1) + "+2 50 1\n", "process 1 9 0 NOW prog\n+3 51 1\n", "process 1 9 0 NOW prog\n-3 1\n")
    assert stays(maps, 0x50) == [(2, 0, FOREVER)]
    assert stays(maps, 0x51) == [(3, 100, 300)]


def test_a_frame_that_changes_its_owner_does_so_in_the_middle() -> None:
    """Page 2 was seen on it at 100, page 3 at 200."""
    maps = maps_of(begin(1) + "+2 50 1\n", "process 1 9 0 NOW prog\n-2 1\n+3 50 1\n")
    assert stays(maps, 0x50) == [(2, 0, 150), (3, 150, FOREVER)]
    assert maps.unsure == 1


def test_a_page_that_moves_leaves_its_frame() -> None:
    maps = maps_of(begin(1) + "+2 50 1\n", "process 1 9 0 NOW prog\n+2 60 1\n")
    assert stays(maps, 0x50) == [(2, 0, 200)]
    assert stays(maps, 0x60) == [(2, 100, FOREVER)]
    assert maps.moved == 1


def test_a_shared_frame_is_the_first_ones_and_then_the_others() -> None:
    maps = maps_of(begin(1) + "+2 50 1\n", begin(2) + "+4 50 1\n", "gone 1 NOW\n")
    assert stays(maps, 0x50) == [(2, 0, 300), (4, 300, FOREVER)]
    assert maps.shared == 1


def test_pages_of_zeros_are_no_process_s() -> None:
    maps = maps_of("zero 50 2\n" + begin(1) + "+2 50 2\n+4 52 1\n")
    assert stays(maps, 0x51) == []
    assert stays(maps, 0x52) == [(4, 0, FOREVER)]


def test_frames_behind_the_hole() -> None:
    maps = maps_of(begin(1) + "+2 10f 1\n+3 ff 1\n", frames=0x200, hole=(0x100, 0xF))
    assert stays(maps, 0x100) == [(2, 0, FOREVER)]
    assert stays(maps, 0xFF) == [(3, 0, FOREVER)]
    with pytest.raises(InvalidInput):
        maps_of(begin(1) + "+2 250 1\n", frames=0x200, hole=(0x100, 0xF))


@pytest.mark.parametrize(
    "lines",
    [
        "+2 50 1\n", "process 1 0 0 NOW\n", "gone 4 NOW\n", "news\n", "mark 1 zz 2\n", begin(1) + "+2 50 ffffff\n",
        begin(1) + "+2 50\n", begin(1, "9000-1000"), begin(1, "1000-3000 2000-4000"), "x" * 10000, "areas\n",
        begin(1) + "-2 0\n", "process 1 2 -5 NOW p\n", f"mark 1 0 {1 << 63:x}\n",
    ],
)  # fmt: skip
def test_what_no_agent_writes_is_refused(lines: str) -> None:
    with pytest.raises(InvalidInput):
        maps_of(lines)


def test_areas_over_time() -> None:
    """One that grows stays one; one that two grow into is one; another file at its place is another."""
    areas = Areas()
    lists = [
        "1000-2000 rw-p 0 00:00 0|5000-6000 rw-p 0 00:00 0|8000-9000 r--p 0 08:01 77 /lib/x.so",
        "1000-5000 rw-p 0 00:00 0|5000-7000 rw-p 0 00:00 0|8000-9000 r--p 0 08:01 78 /lib/y.so",
    ]
    for number, lines in enumerate(lists, 1):
        areas.begin(number * 100)
        for line in lines.split("|"):
            areas.add(line.replace(" 0 0", " 00000000 0"))
        areas.end(number * 100)
        areas.looked = number * 100
    areas.close(300)
    found = {(area.name, area.kind): area for area in areas.all if area.into is None}
    assert {name: (area.low, area.high, area.periods) for name, area in found.items()} == {
        ("anon", "anon"): (1, 7, [(0, 300)]),
        ("x.so", "file"): (8, 9, [(0, 200)]),
        ("y.so", "file"): (8, 9, [(100, 300)]),
    }


def test_pages_that_never_were_there_have_no_number() -> None:
    layout = lay_out(maps_of(begin(1, "1000-10000000") + "+2 50 2\n+1000 60 1\n"))
    assert [(area.first, area.nr_pages, area.address) for area in layout.areas] == [(0, 2, 0x2000), (2, 1, 0x1000000)]
    assert list(layout.page_of) == [0, 1, 2]


def test_the_guests_time_is_between_marks() -> None:
    clock = GuestClock({1: 1000, 2: 3000, 3: 5000, 9: 7}, {1: (90, 110), 2: (1190, 1210), 3: (10**6, 10**9), 4: (0, 1)})
    assert [clock.guest(at) for at in (0, 1000, 2000, 3000, 4000)] == [-900, 100, 650, 1200, 2200]
    assert clock.error_ns == 10
    times = [clock.guest(at) for at in range(0, 6000, 7)]
    assert all(a < b for a, b in pairwise(times))
    with pytest.raises(InvalidInput):
        GuestClock({1: 5}, {2: (1, 2)})


def test_a_trace_of_a_raw_file(tmp_path: Path) -> None:
    path, target = raw_truth.small(tmp_path / "raw"), tmp_path / "t.trace"
    with TraceWriter(target) as writer:
        done = convert(path, writer)
    trace = Trace(target)
    what = trace.description
    assert (what.origin, what.duration_ns, done.windows) == ("truth", 1000 * MS, 10)
    assert [(area.name, area.first, area.nr_pages, area.mapped) for area in what.areas] == [
        ("prog.anon", 0, 4, ((0, 1000 * MS),))
    ]
    rows = [unpack_rows(data) for _, _, data in trace.windows(0)]
    # What the first look found is there from the first window on.
    assert [row[:2] for row in rows[0]] == [(0, 1), (1, 2), (2, 4)]
    for row, moved in ((rows[1], 5), (rows[-1], 7)):
        assert [(first, end, write) for first, end, _, write in row] == [(0, 1, 1.0), (1, 2, 0.0)]
        assert [each for _, _, each, _ in row] == [20.0, moved]
    assert (done.moved, done.sums.zero, done.sums.others) == (1, 30, 10)
    assert done.error_ns <= 1000


def test_a_page_has_the_accesses_of_the_window_that_it_comes_in(tmp_path: Path) -> None:
    """It came after the look at 1080 ms; the window of that time has its first accesses. Of a frame that another page
    has in the middle of the window they are that one's."""
    chunk, line = raw_truth.mark(1, 1000 * MS)
    looks = [f"agent 1 9\n{line}"]
    for at, more in (
        (1000, "areas\n400000-404000 rw-p 00000000 00:00 0\n.\n+400 10 1\n"),
        (1080, "-400 1\n"),
        (1600, "+401 20 1\n+402 10 1\n"),
    ):
        looks.append(f"look {at * MS:x}\nprocess 1 9 60 {at * MS:x} prog\n{more}end {(at + 1) * MS:x}\n")
    last, line = raw_truth.mark(2, 1700 * MS)
    rows = {0x10: raw_truth.touched(3), 0x20: raw_truth.touched(4), 0x99: raw_truth.touched(5)}
    windows = [raw_truth.window(at * 100 * MS, rows) for at in (10, 11)]
    texts = [form.text_chunk(part.encode()) for part in ("".join(looks), line)]
    path = raw_truth.raw(tmp_path / "raw", [chunk, texts[0], *windows, last, texts[1]])
    first, second = (window.spaces[0] for window in Truth(path).windows())
    assert [touched for _, touched, _ in first] == [3, 4]
    assert [touched for _, touched, _ in second] == [4, 3]


def test_a_raw_file_is_imported_and_replayed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, target = raw_truth.small(tmp_path / "raw"), tmp_path / "t.trace"
    assert main(["import", str(path), "-o", str(target)]) == 0
    assert "prog" in capsys.readouterr().out
    workload = load_workload(str(target))
    # It has every access since its begin: what was not accessed is not there yet.
    assert not any(area.populate for area in workload.areas)
    assert main(["run", "--sim", str(target), "--module", "damon_stat"]) == 0
    assert main(["import", str(path), "-o", str(target), "--from", "0.5s", "--anonymise", "--quiet"]) == 0
    assert Trace(target).description.duration_ns == 500 * MS
    assert main(["import", str(path), "-o", str(target), "--process", "prog", "--quiet"]) == 0
    assert [space.process for space in Trace(target).description.spaces] == ["prog"]
    assert main(["import", str(path), "-o", str(target), "--process", "other", "--quiet"]) == 2


def test_only_what_was_recorded_is_believed(tmp_path: Path) -> None:
    empty = raw_truth.raw(tmp_path / "empty", [])
    with pytest.raises(InvalidInput, match="mark"):
        Truth(empty)
