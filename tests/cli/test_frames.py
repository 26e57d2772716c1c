# SPDX-License-Identifier: GPL-2.0-only
"""Where a workload is in a guest, and what is beside it: measured frames on the simulated machine."""

from __future__ import annotations

import ctypes
import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from damon.cli.as_guest import as_found
from damon.errors import InvalidInput
from damon.mm.frames import FrameRun
from damon.mm.sim import SimulatedMachine
from damon.model.arrays import Buffer, FolioArray
from damon.model.machine import Advice
from damon.results.frames import NAME, Frames
from damon.workload.load import load_workload
from damon.workload.quantities import PAGE
from tests.mm.sim.machines import check

WORKLOAD = """\
areas:
  one: {size: 64 KiB, memcg: box}
  two: {size: 32 KiB, memcg: box}
phases:
  - {duration: 60s, access: [{area: one, rate: 100}]}
machine: {memory: 64 MiB}
"""
FRAMES = Frames(
    4.5, [(0x100000, 0x4000000)], {"one": [(0, 9000, 8), (10, 8000, 4)], "two": [(0, 9100, 8)]},
    [FrameRun(7000, 3, 0.0), FrameRun(7003, 1, 12.5, True, mapped=53), FrameRun(9500, 2, 12.5), FrameRun(9600, 5, 12.5),
     FrameRun(9700, 4, 0.0, False, True)], 420.5, [(8100, 300), (9000, 4), (9800, 1000)], 1.25,
)  # fmt: skip


@pytest.fixture
def machine(tmp_path: Path) -> SimulatedMachine:
    (tmp_path / "w.yaml").write_text(WORKLOAD)
    workload, places = as_found(load_workload(tmp_path / "w.yaml"), FRAMES)
    return SimulatedMachine(workload, 1, places)


def _pages(machine: SimulatedMachine, area: str) -> list[int]:
    placed, found = machine.state.placed[area], []
    folios = FolioArray(2048)
    process = machine.row(area).process
    machine.engine.walk(process, placed.start, placed.end, folios)
    for index in range(folios.nr):
        found.append(folios[index].pfn)
    return found


def test_pages_are_in_the_frames_that_they_had(machine: SimulatedMachine) -> None:
    one = _pages(machine, "one")
    assert one[:8] == list(range(9000, 9008))
    assert one[10:14] == list(range(8000, 8004))
    known = {
        pfn for first, nr in ((7000, 4), (9100, 8), (9500, 2), (9600, 5), (9700, 4)) for pfn in range(first, first + nr)
    }
    assert not known & {*one[8:10], *one[14:]}  # pages whose place is not known take none that is
    assert _pages(machine, "two") == list(range(9100, 9108))


def test_pages_that_come_later_get_the_frames_that_they_had_once(tmp_path: Path) -> None:
    """Those of a capture come with their first touches; after they were reclaimed they get any frame."""
    (tmp_path / "w.yaml").write_text(WORKLOAD.replace("size: 64 KiB,", "size: 64 KiB, populate: false,"))
    workload, places = as_found(load_workload(tmp_path / "w.yaml"), FRAMES)
    with SimulatedMachine(workload, 1, places) as machine:
        assert machine.row("one").nr_present == 0
        machine.clock.sleep_us(10_000_000)
        assert machine.row("one").nr_present == 16
        one = _pages(machine, "one")
        assert one[:8] + one[10:14] == [*range(9000, 9008), *range(8000, 8004)]
        placed = machine.state.placed["one"]
        space = machine.open_process(machine.pids["main"])
        assert space.madvise(placed.start, placed.end - placed.start, Advice.PAGEOUT) == 0
        machine.clock.sleep_us(10_000_000)
        again = _pages(machine, "one")
        assert len(again) == 16
        assert sum(before == after for before, after in zip(one[:8], again[:8], strict=True)) <= 2, again


def test_what_is_beside_is_accessed_as_often(machine: SimulatedMachine) -> None:
    beside = {name: machine.row(name) for name in machine.state.placed if name.startswith("beside")}
    assert [row.nr_pages for row in beside.values()] == [3, 4, 7, 1]
    rates = [row.seg[row.nr_seg - 1].rate * 1e9 for row in beside.values()]
    assert rates == pytest.approx([0, 0, 12.5 * 7, 12.5])
    assert [bool(row.memcg) for row in beside.values()] == [False, False, False, True]
    assert [bool(row.locked) for row in beside.values()] == [False, True, False, False]
    assert _pages(machine, "beside the workload 2") == [9500, 9501, *range(9600, 9605)]


def test_no_page_gets_a_frame_that_the_kernel_has(tmp_path: Path) -> None:
    """Memory that is neither an area's nor free is held, and what is free is used to its last frame."""
    text = WORKLOAD.replace("phases:", "  new: {size: 5 MiB, populate: false}\nphases:")
    (tmp_path / "w.yaml").write_text(text.replace("access: [", "access: [{area: new, rate: 4000}, "))
    workload, places = as_found(load_workload(tmp_path / "w.yaml"), FRAMES)
    assert FRAMES.free is not None
    free = {pfn for first, nr in FRAMES.free for pfn in range(first, first + nr)}
    with SimulatedMachine(workload, 1, places) as machine:
        given = {pfn for rows in places.areas.values() for _, first, nr in rows for pfn in range(first, first + nr)}
        assert machine.free_mem()[0] == len(free - given) - 4, "four pages of one have no place"
        check(machine)
        machine.clock.sleep_us(20_000_000)
        check(machine)
        new = set(_pages(machine, "new"))
        assert len(new) > 500
        assert new <= free | given


def test_free_memory_is_the_same_as_without_places(tmp_path: Path) -> None:
    (tmp_path / "w.yaml").write_text(WORKLOAD)
    workload, places = as_found(load_workload(tmp_path / "w.yaml"), replace(FRAMES, free=None))
    with SimulatedMachine(workload, 1) as other, SimulatedMachine(workload, 1, places) as machine:
        assert other.free_mem() == machine.free_mem()
        check(machine)


def test_a_look_at_a_page_that_many_processes_map_takes_longer(machine: SimulatedMachine) -> None:
    """The worker sleeps so much later. How many map the frames at 9600 is not known, as of version 2."""
    addrs = Buffer(ctypes.c_uint64, 4)
    taken = []
    for pfn in (9000, 7003, 9600, 8500):
        before = machine.sampled()
        addrs[0] = pfn * PAGE
        machine.phys.mkold(addrs, 1)
        taken.append(machine.sampled() - before)
    assert taken == [1, 1 + 15, 1, 0], "one of 53 mappings is in a look; a free frame is none"


def test_a_file_comes_back_as_it_was(tmp_path: Path) -> None:
    assert Frames.read(tmp_path) is None
    FRAMES.write(tmp_path)
    assert Frames.read(tmp_path) == FRAMES


def test_a_file_of_version_1_knows_of_no_locked_frames(tmp_path: Path) -> None:
    FRAMES.write(tmp_path)
    whole = json.loads((tmp_path / NAME).read_text())
    (tmp_path / NAME).write_text(json.dumps({**whole, "format": 1, "beside": [[5, 2, 1.5, True]]}))
    found = Frames.read(tmp_path)
    assert found is not None
    assert found.beside == [FrameRun(5, 2, 1.5, True, False)]


def test_a_file_of_version_2_knows_of_no_free_frames(tmp_path: Path) -> None:
    FRAMES.write(tmp_path)
    whole = json.loads((tmp_path / NAME).read_text())
    del whole["free"], whole["unrecorded_s"]
    beside = [row[:5] for row in whole["beside"]]
    (tmp_path / NAME).write_text(json.dumps({**whole, "format": 2, "beside": beside}))
    found = Frames.read(tmp_path)
    assert found is not None
    assert (found.free, found.unrecorded_s, found.beside[0].mapped) == (None, 0.0, 0)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("lead_s", -1), ("unrecorded_s", -1), ("format", 4), ("beside", [[5, 0, 1.0, False, False]]),
        ("beside", [[5, 1, 1.0]]), ("beside", [[5, 1, 1.0, False, False, 0, 0]]),
        ("beside", [[5, 2, 1.0, False, False], [6, 1, 1.0, False, False]]),
        ("beside", [[1 << 31, 1, 1.0, False, False]]), ("beside", [[5, 1, 1e300, False, False]]),
        ("areas", {"one": [[0, 1 << 30, 2]]}),
        ("areas", {"one": [[4, 9, 2], [5, 20, 1]]}), ("areas", 5),
        ("free", [[5, 2], [6, 1]]), ("free", [[5, 0]]), ("free", [[5]]), ("free", 1),
    ],
)  # fmt: skip
def test_a_file_that_is_none_is_refused(tmp_path: Path, field: str, value: object) -> None:
    FRAMES.write(tmp_path)
    whole = json.loads((tmp_path / NAME).read_text())
    (tmp_path / NAME).write_text(json.dumps({**whole, field: value}))
    with pytest.raises(InvalidInput, match="run the guest again"):
        Frames.read(tmp_path)


@pytest.mark.parametrize("kind", ["link", "fifo", "directory"])
def test_what_is_not_a_regular_file_is_not_opened(tmp_path: Path, kind: str) -> None:
    """The directory may come from a guest or from another user; a FIFO would block."""
    FRAMES.write(tmp_path)
    path = tmp_path / NAME
    path.rename(tmp_path / "elsewhere")
    if kind == "link":
        path.symlink_to("elsewhere")
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        path.mkdir()
    with pytest.raises(InvalidInput, match=r"regular file|cannot be read"):
        Frames.read(tmp_path)


def test_a_worker_is_as_late_as_sleeps_are(machine: SimulatedMachine) -> None:
    assert machine.clock.ticks.sleep_end_ns(10, 5000) == 10 + 5_000_000 + 420_500
