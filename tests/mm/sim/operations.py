# SPDX-License-Identifier: GPL-2.0-only
"""What can be asked of a simulated machine, as operations that random numbers choose."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from random import Random

from damon.mm.sim import SimulatedMachine
from damon.model.arrays import FOLIO_DECIDED, FOLIO_PASS, FOLIO_YOUNG, FolioArray
from damon.model.machine import AccessBits, Advice, ProcessSpace
from tests.buffers import addresses, young
from tests.random_contexts import alive

#: An operation: what to do, where (a share of the address space), how much, how.
Operation = tuple[str, float, float, int]


def _sleep(sim: SimulatedMachine, where: float, much: float, how: int) -> object:
    sim.clock.sleep_us(1 + int(much * much * 40_000))
    return sim.areas(), sim.processes(), sim.counters(), sim.psi_some_us()


def _sample(sim: SimulatedMachine, space: AccessBits, addrs: list[int], us: int) -> object:
    batch = space.mkold(addresses(addrs), len(addrs))
    sim.clock.sleep_us(us)
    return young(space, batch)


def _frames(sim: SimulatedMachine, where: float, how: int) -> list[int]:
    """Addresses in a row, or leaps of it, some behind the end."""
    start, end = sim.system_ram()[-1]
    at = start + int(where * (end - start))
    return [at + n * (1 + how) % (end + 8192) for n in range(100)]


def _phys(sim: SimulatedMachine, where: float, much: float, how: int) -> object:
    return _sample(sim, sim.phys, _frames(sim, where, how), 1 + int(much * 5000))


def _probe(sim: SimulatedMachine, where: float, much: float, how: int) -> object:
    out = FolioArray(100)
    sim.phys.folios_at(addresses(_frames(sim, where, how)), 100, out)
    return [(f.pfn, f.memcg, f.flags) if f.nr_pages else None for f in out]


def _process(sim: SimulatedMachine, how: int) -> ProcessSpace | None:
    """One that lives."""
    name = sim.workload.processes[how % len(sim.workload.processes)]
    return sim.open_process(sim.pids[name]) if alive(sim, name) else None


def _virt(sim: SimulatedMachine, where: float, much: float, how: int) -> object:
    if (space := _process(sim, how)) is None:
        return None
    maps = space.mappings()
    addrs = [start + int(where * (end - start)) + n * 4096 * (how % 5) for start, end in maps for n in range(20)]
    return maps, _sample(sim, space, addrs, 1 + int(much * 5000))


def _folios(sim: SimulatedMachine, where: float, much: float, how: int, act: str) -> object:
    low, high = sim.system_ram()[-1]
    start = low + int(where * (high - low))
    seen: list[object] = []
    for folios in sim.phys.folios(start, start + int(much * (high - start))):
        for index, folio in enumerate(folios):
            folio.flags |= (how >> index % 16 & 1) * FOLIO_PASS | (how >> (index + 3) % 16 & 1) * FOLIO_DECIDED
        for index, folio in enumerate(folios):
            folio.target_nid = (how >> index % 7 & 3) - 1
        if act == "young":
            sim.phys.folios_young(folios)
            sim.phys.folios_mkold(folios)
            assert all(folio.flags & FOLIO_DECIDED == 0 or not folio.flags & FOLIO_YOUNG for folio in folios)
        seen.extend((folio.pfn, folio.flags) for folio in folios)
        if act != "young":
            seen.append(getattr(sim.phys, act)(folios))
    return seen


def _madvise(sim: SimulatedMachine, where: float, much: float, how: int) -> object:
    if (space := _process(sim, how)) is None:
        return None
    start, end = space.mappings()[1 + how % (len(space.mappings()) - 1)]
    at = start + (int(where * where * (end - start)) & -4096)
    advice = [
        Advice.WILLNEED, Advice.COLD, Advice.PAGEOUT, Advice.PAGEOUT, Advice.NORMAL, Advice.HUGEPAGE, Advice.NOHUGEPAGE,
        Advice.COLLAPSE, Advice.COLLAPSE, Advice.COLLAPSE,
    ][how % 10]  # fmt: skip
    if how & 1 << 14:
        at, much = start, 1.0
    return space.madvise(at, int(much * 1.2 * (end - at)), advice)


def _walk(sim: SimulatedMachine, where: float, much: float, how: int) -> object:
    """A process's folios, from any address to any other."""
    if (space := _process(sim, how)) is None:
        return None
    first, last = space.mappings()[0][1], space.mappings()[-1][1]
    start = first if how & 1 else sim.state.placed[sim.workload.areas[0].name].start + int(where * 40000)
    end = last if how & 2 else start + int(much * 5_000_000)
    seen: list[object] = [sim.node_memcg_pages(0, how % 5)]
    for folios in space.folios(start, end):
        if how & 4:
            space.folios_young(folios)
            space.folios_mkold(folios)
        seen.extend((f.pfn, f.memcg, f.addr, f.ilx, f.nr_pages, f.flags, f.target_nid) for f in folios)
    return seen


DO: dict[str, Callable[[SimulatedMachine, float, float, int], object]] = {
    **{act.__name__[1:]: act for act in (_sleep, _phys, _probe, _virt, _madvise, _walk)},
    **{act: partial(_folios, act=act) for act in ("young", "pageout", "activate", "deactivate", "migrate")},
}
#: What every process and every range of physical memory can be asked for; advice twice as often.
KINDS = (*list(DO)[:6], "madvise", *list(DO)[6:])


def do(sim: SimulatedMachine, operation: Operation) -> object:
    kind, where, much, how = operation
    return DO[kind](sim, where, much, how)


#: Huge pages are made by advice alone: mostly collapsing, and what takes folios apart again.
HUGE = ("sleep", "pageout", "migrate", "activate", "deactivate", "walk", "virt", "phys", "probe")


def draw(rnd: Random, huge: bool = False) -> Operation:
    """Any operation; with ``huge``, half of them collapse or advise whole areas."""
    if not huge:
        return rnd.choice(KINDS), rnd.random(), rnd.random(), rnd.getrandbits(16)
    if rnd.random() < 0.5:
        return "madvise", 0.0, 1.0, 10 * rnd.getrandbits(12) + rnd.choice([7, 8, 9])
    if rnd.random() < 0.3:
        return "madvise", rnd.random(), rnd.random(), rnd.getrandbits(14)
    return rnd.choice(HUGE), rnd.choice([0.0, 0.0, 0.3]), rnd.choice([1.0, 0.5]), rnd.getrandbits(16)
