# SPDX-License-Identifier: GPL-2.0-only
"""madvise, exits and restarts, and input that is refused."""

from __future__ import annotations

import errno
import random

import pytest

from damon.errors import DamonError, InvalidInput
from damon.mm.sim import SimulatedMachine
from damon.model.machine import Advice
from damon.workload.model import (
    Access,
    Area,
    Event,
    Kind,
    MachineSpec,
    Pattern,
    Phase,
    PhaseEvent,
    Swap,
    Workload,
)
from tests.buffers import addresses
from tests.mm.sim.machines import (
    GIB,
    KIB,
    MIB,
    SWAP,
    act_on,
    advise,
    check,
    machine,
    page_addrs,
    stat,
    young,
)

# -- madvise and processes


def test_madvise_as_the_system_call() -> None:
    sim = machine(Area("a", MIB), Area("b", MIB), memory=64 * MIB, swap=SWAP)
    space = sim.open_process(sim.pids["main"])
    start = sim.state.placed["a"].start
    assert space.madvise(start, MIB, Advice.PAGEOUT) == 0
    assert stat(sim).resident_bytes == 0
    assert space.madvise(start, 64 * KIB + 1, Advice.WILLNEED) == 0, "the length is rounded up"
    assert stat(sim).resident_bytes == 64 * KIB + 4096
    assert stat(sim).refaults == 0
    assert space.madvise(start + 1, 4096, Advice.COLD) == -errno.EINVAL
    assert space.madvise(start, -1, Advice.COLD) == -errno.EINVAL
    assert space.madvise(start, 0, Advice.COLD) == 0
    assert space.madvise(start, MIB, Advice.COLLAPSE) == -errno.EINVAL, "too small for a huge page"
    assert space.madvise(start, MIB, Advice.HUGEPAGE) == 0
    assert space.madvise(start, MIB, Advice.NORMAL) == 0
    assert space.madvise(start, 4 * MIB, Advice.PAGEOUT) == -errno.ENOMEM, "a hole between and behind"
    assert stat(sim, "b").resident_bytes == 0, "what is mapped is done all the same"
    assert space.madvise(0, 4096, Advice.COLD) == -errno.ENOMEM
    check(sim)


def test_willneed_leaves_the_next_touch_pending_once() -> None:
    sim = machine(Area("a", MIB), accesses=(Access("a", 100, Pattern.RANDOM),), memory=64 * MIB, swap=SWAP)
    space, start = sim.open_process(sim.pids["main"]), sim.state.placed["a"].start
    for _ in range(5):
        assert space.madvise(start, MIB, Advice.PAGEOUT) == 0
        check(sim)
        assert space.madvise(start, MIB, Advice.WILLNEED) == 0
        check(sim)
        sim.clock.sleep_us(1_000_000)
        check(sim)
    assert stat(sim).faults < 5


def test_willneed_reads_a_file_and_leaves_anonymous_memory_that_was_never_touched() -> None:
    areas = Area("a", MIB, populate=False), Area("f", MIB, Kind.FILE, populate=False)
    sim = machine(*areas, memory=64 * MIB, swap=SWAP)
    assert [advise(sim, Advice.WILLNEED, area=name) for name in "af"] == [0, 0]
    assert (stat(sim, "a").resident_bytes, stat(sim, "f").resident_bytes) == (0, MIB)
    assert advise(sim, Advice.PAGEOUT, area="f") == 0
    assert advise(sim, Advice.WILLNEED, 0, 64 * KIB, "f") == 0
    assert (stat(sim, "f").resident_bytes, stat(sim, "f").faults) == (64 * KIB, 0)
    check(sim)


def test_cold_moves_to_the_inactive_list() -> None:
    sim = machine(Area("a", MIB), memory=64 * MIB, swap=SWAP)
    act_on(sim, sim.phys.activate, lambda n: True)
    space = sim.open_process(sim.pids["main"])
    assert space.madvise(sim.state.placed["a"].start, 128 * 4096, Advice.COLD) == 0
    assert stat(sim).active_pages == 128


def test_process_exit_and_its_successor() -> None:
    phases = (
        Phase("run", 1000),
        Phase("exit", 1000, (Access("a", 1e5),), (PhaseEvent(Event.EXIT, "p"),)),
        Phase("again", 1000, (Access("a", 1e5),), (PhaseEvent(Event.MMAP, "a"),)),
    )
    work = Workload("w", (Area("a", MIB, process="p"), Area("o", MIB, process="other")), phases)
    sim = SimulatedMachine(work, 1)
    first = sim.open_process(sim.pids["p"])
    other = sim.open_process(sim.pids["other"])
    free = sim.free_mem()[0]
    sim.clock.sleep_us(1000)
    assert not first.alive()
    assert other.alive()
    assert sim.free_mem()[0] == free + 256
    with pytest.raises(DamonError, match=r"^pid: 1000: ") as refused:
        sim.open_process(first.pid)
    assert refused.value.errno == errno.EINVAL
    sim.clock.sleep_us(1000)
    assert sim.pids["p"] != first.pid
    assert not first.alive(), "a later process of the same name is another one"
    assert sim.open_process(sim.pids["p"]).alive()
    check(sim)
    other.close()
    other.close()
    assert not other.alive()


# -- bad input


def test_bad_workloads_are_refused() -> None:
    phase = Phase("p", 1)
    with pytest.raises(InvalidInput, match=r"machine\.memory: 1048576"):
        machine(Area("a", MIB), memory=MIB)
    with pytest.raises(InvalidInput, match="phases is empty"):
        SimulatedMachine(Workload("w", (Area("a", MIB),), ()), 1)
    with pytest.raises(InvalidInput, match="areas is empty"):
        SimulatedMachine(Workload("w", (), (phase,)), 1)
    with pytest.raises(InvalidInput, match="more than once"):
        machine(Area("a", MIB), accesses=(Access("a", 1.0), Access("a", 2.0)))
    with pytest.raises(InvalidInput, match="area: 'nope': is unknown; give one of a"):
        machine(Area("a", MIB)).truth("nope", 5000)


def test_memory_is_reserved_not_used() -> None:
    """A terabyte of populated memory costs a few megabytes and milliseconds."""
    before = _rss()
    sim = machine(Area("a", 900 * GIB), memory=1024 * GIB, swap=Swap(64 * GIB))
    assert stat(sim).resident_bytes == 900 * GIB
    assert _rss() - before < 32 * MIB
    space, start = sim.open_process(sim.pids["main"]), sim.state.placed["a"].start
    rnd = random.Random(1)
    addrs = sorted(start + rnd.randrange(900 * GIB) for _ in range(1000))
    space.mkold(addresses(addrs), 1000)
    assert not any(young(space, addrs))


def _rss() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096


def test_pages_with_a_history_count_as_young_until_they_are_made_old() -> None:
    """Moved on the lists, or read in again: a folio that nobody made old is not idle."""
    sim = machine(Area("a", MIB), memory=64 * MIB, swap=SWAP)
    space, addrs = sim.open_process(sim.pids["main"]), page_addrs(sim, "a")
    act_on(sim, sim.phys.activate, lambda n: True)
    assert all(young(space, addrs))
    space.mkold(addresses(addrs), 256)
    assert not any(young(space, addrs))
    assert space.madvise(addrs[0], MIB, Advice.PAGEOUT) == 0
    assert not any(young(space, addrs))
    assert space.madvise(addrs[0], MIB, Advice.WILLNEED) == 0
    assert all(young(space, addrs)), "a new folio is not idle"


@pytest.mark.parametrize("kind", list(Kind))
def test_unmapping_gives_back_all_of_it(kind: Kind) -> None:
    """Active and inactive pages, swapped ones, frames out of order."""
    phases = (Phase("there", 100_000), Phase("gone", 1, (), (PhaseEvent(Event.MUNMAP, "a"),)))
    areas = (Area("a", 2 * MIB, kind), Area("b", MIB, kind))
    sim = SimulatedMachine(Workload("w", areas, phases, machine=MachineSpec(memory=64 * MIB, swap=SWAP)), 1)
    free = sim.free_mem()[0]
    act_on(sim, sim.phys.activate, lambda n: n % 3 == 0)
    act_on(sim, sim.phys.pageout, lambda n: n % 5 == 0)
    check(sim)
    sim.clock.sleep_us(100_000)
    check(sim)
    assert sim.free_mem()[0] >= free + 512
    assert [area.name for area in sim.areas() if area.resident_bytes] == ["b"]
    expected = sim.areas()[1]
    counters, name = sim.counters(), kind.value
    assert counters[f"nr_active_{name}"] == expected.active_pages
    assert counters[f"nr_inactive_{name}"] == expected.resident_bytes // 4096 - expected.active_pages
