# SPDX-License-Identifier: GPL-2.0-only
"""Native arrays: no count and no index reaches C that the array has no memory for."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from damon.mm.linux import LinuxMachine
from damon.mm.sim import SimulatedMachine
from damon.model.arrays import U8, U64, Batch, Buffer, FolioArray, RegionArray
from damon.model.context import DamonCtx
from damon.model.machine import AccessBits, PhysicalSpace
from damon.model.random import Random
from damon.model.target import DamonTarget
from damon.ops import probes, sampling
from damon.ops.folio_filter import Native
from damon.workload.load import load_workload
from tests.fakes import FakeMachine
from tests.mm.linux.fake import FakeKernel

#: Counts that a buffer of 64 rows has no memory for.
WRONG = [-1, 65, 1_000_000, 1 << 32, 1 << 64]


@pytest.fixture(scope="module")
def sim() -> Iterator[SimulatedMachine]:
    machine = SimulatedMachine(load_workload("workloads/hot-cold.yaml"), 1)
    yield machine
    machine.close()


@pytest.fixture
def linux(tmp_path: Path) -> Iterator[LinuxMachine]:
    kernel = FakeKernel(tmp_path, [0] * 64)
    (kernel.proc / "kpageflags").write_bytes(bytes(512))
    idle = tmp_path / "sys/kernel/mm/page_idle"
    idle.mkdir(parents=True)
    (idle / "bitmap").write_bytes(bytes(8))
    (kernel.proc / "5").mkdir()
    (kernel.proc / "5/stat").write_text("")
    kernel.process(5, [(0, 8)], {})
    machine = LinuxMachine(proc=kernel.proc, sys=tmp_path / "sys", pidfd_open=lambda pid: os.pidfd_open(os.getpid()))
    yield machine
    machine.close()
    kernel.close()


@pytest.fixture(params=["sim phys", "sim process", "linux phys", "linux process"])
def space(request: pytest.FixtureRequest, sim: SimulatedMachine, linux: LinuxMachine) -> AccessBits:
    spaces: dict[str, Callable[[], AccessBits]] = {
        "sim phys": lambda: sim.phys,
        "sim process": lambda: sim.open_process(sim.pids["main"]),
        "linux phys": lambda: linux.phys,
        "linux process": lambda: linux.open_process(5),
    }
    return spaces[request.param]()


@pytest.mark.parametrize("nr", WRONG)
def test_more_addresses_than_there_are(space: AccessBits, nr: int) -> None:
    with pytest.raises(ValueError, match=f"^{nr} rows: the buffer has memory for 64"):
        space.mkold(Buffer(U64, 64), nr)


def test_more_answers_than_fit(space: AccessBits) -> None:
    batch = space.mkold(Buffer(U64, 65), 65)
    with pytest.raises(ValueError, match="65 rows: the buffer has memory for 64"):
        space.young(batch, Buffer(U8, 64))
    batch.nr = 1_000_000
    with pytest.raises(ValueError, match="1000000 rows"):
        space.young(batch, Buffer(U8, 64))


@pytest.mark.parametrize("nr", WRONG)
def test_folios_at_more_addresses_than_there_are(sim: SimulatedMachine, linux: LinuxMachine, nr: int) -> None:
    phys: PhysicalSpace
    for phys in (sim.phys, linux.phys):
        with pytest.raises(ValueError, match="rows: the buffer has memory for 64"):
            phys.folios_at(Buffer(U64, 64), nr, FolioArray(64))
        if 64 < nr < 1 << 20:
            with pytest.raises(ValueError, match="folios: the array has memory for 64"):
                phys.folios_at(Buffer(U64, nr), nr, FolioArray(64))


def _folio_routines(sim: SimulatedMachine, linux: LinuxMachine) -> list[Callable[[FolioArray], object]]:
    own: list[Callable[[FolioArray], object]] = [Native.begin, lambda folios: Native.end(folios, True)]
    for phys in (sim.phys, linux.phys):
        own += [phys.folios_young, phys.folios_mkold, phys.activate, phys.deactivate, phys.pageout, phys.migrate]
    return own


@pytest.mark.parametrize("nr", WRONG)
def test_more_folios_than_there_are(sim: SimulatedMachine, linux: LinuxMachine, nr: int) -> None:
    for routine in _folio_routines(sim, linux):
        folios = FolioArray(64)
        folios.nr = nr
        with pytest.raises((ValueError, IndexError)):
            routine(folios)


@pytest.mark.parametrize("nr", WRONG)
def test_more_regions_than_there_are(nr: int) -> None:
    ctx = DamonCtx(machine=FakeMachine(), rnd=Random(1), targets=[DamonTarget()])
    ctx.targets[0].regions.nr = nr
    ctx.targets[0].addrs.pointer_to(64)
    with pytest.raises(ValueError, match=f"^{nr} regions: the array has memory for"):
        _ = ctx.targets[0].regions.pointer
    with pytest.raises((ValueError, MemoryError, OverflowError)):
        sampling.pick(ctx, ctx.targets[0])


def test_probes_and_checks_have_memory_for_every_region() -> None:
    ctx = DamonCtx(machine=FakeMachine(), rnd=Random(1), targets=[DamonTarget()])
    target = ctx.targets[0]
    sampling.prepare(ctx, target, ctx.machine.phys)
    for page in range(1000):
        target.regions.append(page << 12, page + 1 << 12)
    with pytest.raises(ValueError, match="1000 regions, 0 made old: regions changed"):
        sampling.check(ctx, target, ctx.machine.phys)
    assert probes.apply(ctx, target, ctx.machine.phys, True, False) == 0


def test_a_folio_cannot_be_dropped_from_none() -> None:
    with pytest.raises(IndexError):
        FolioArray(4).remove_first()


@given(st.integers(-3, 20), st.integers(-3, 20), st.integers(-3, 20))
def test_rows_that_are_not_there(nr: int, index: int, count: int) -> None:
    """Each edit is made, or refused for rows that do not exist, and then changes nothing."""
    regions = RegionArray((page << 12, page + 1 << 12) for page in range(max(nr, 0)))
    edits: list[tuple[Callable[[], object], Callable[[int], bool]]] = [
        (lambda: regions.remove(index, count), lambda nr: count >= 0 <= index <= index + count <= nr),
        (lambda: regions.insert(index, 0, 1), lambda nr: 0 <= index <= nr),
        (lambda: regions.split_at(index, 1), lambda nr: 0 <= index < nr),
    ]
    for edit, legal in edits:
        before = regions.ranges()
        if legal(regions.nr):
            edit()
            continue
        with pytest.raises(IndexError):
            edit()
        assert regions.ranges() == before


@pytest.mark.parametrize(("start", "end"), [(-1, 4096), (0, 1 << 64), (1 << 64, 1 << 65)])
def test_addresses_have_64_bits(start: int, end: int) -> None:
    with pytest.raises(ValueError, match="addresses are 0"):
        RegionArray([(start, end)])


def test_a_batch_is_no_longer_than_its_addresses() -> None:
    with pytest.raises(ValueError, match="65 rows"):
        Batch(Buffer(U64, 64), 65)
