# SPDX-License-Identifier: GPL-2.0-only
"""Small machines and what must hold of every one of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import pytest

from damon.mm.sim import AreaStat, SimulatedMachine
from damon.mm.sim.layout import (
    ANON,
    BLOCK,
    KHUGEPAGED,
    KSWAPD,
    LEAF,
    MAX_NODE,
    NR_LIST,
    NR_ORDER,
    PG_ACTIVE,
    PG_EVICTED,
    PG_PRESENT,
    PG_SWAPPED,
    ST_TAIL,
    UNEVICTABLE,
    SimPattern,
)
from damon.mm.sim.state import State
from damon.model.arrays import FOLIO_ACTIVE, FOLIO_ANON, FOLIO_MAPPED, FOLIO_PASS, Batch, Buffer, FolioArray
from damon.model.machine import AccessBits, Advice
from damon.workload.model import Access, Area, MachineSpec, Phase, ProcessSpec, Swap, Workload
from tests import buffers
from tests.buffers import addresses
from tests.mm.sim.pages import (
    folio_nr,
    head,
    lru_seq,
    node_of,
    page_frame,
    page_pfn,
    page_present,
    page_state,
    share,
    traced_again,
    traced_share,
    valid,
)

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
SWAP = Swap(64 * MIB, read_us=30.0, write_us=5.0)


def machine(
    *areas: Area,
    accesses: tuple[Access, ...] = (),
    phases: Sequence[Phase] = (),
    processes: tuple[ProcessSpec, ...] = (),
    seed: int = 1,
    **spec: Any,
) -> SimulatedMachine:
    """One endless phase, or ``phases``; as much memory as its ``nodes`` have."""
    if nodes := spec.get("nodes"):
        spec["memory"] = sum(node.size for node in nodes)
    phases = phases or (Phase("only", 1_000_000, accesses),)
    return SimulatedMachine(Workload("test", areas, tuple(phases), False, MachineSpec(**spec), processes), seed)


def young(space: AccessBits, values: list[int], buffer: Buffer | None = None) -> list[int]:
    return buffers.young(space, Batch(buffer or addresses(values), len(values)))


def act_on(sim: SimulatedMachine, act: Callable[[FolioArray], int], wanted: Callable[[int], bool]) -> int:
    """Act on the folios (by number) that are wanted."""
    number = total = 0
    for start, end in sim.system_ram():
        for folios in sim.phys.folios(start, end):
            for folio in folios:
                folio.flags |= FOLIO_PASS if wanted(number) else 0
                number += 1
            total += act(folios)
    return total


def stat(sim: SimulatedMachine, name: str = "a") -> AreaStat:
    return next(area for area in sim.areas() if area.name == name)


def advise(sim: SimulatedMachine, advice: Advice, start: int = 0, size: int = 0, area: str = "a") -> int:
    """``madvise`` for a part of an area, or all of it."""
    placed = sim.state.placed[area]
    space = sim.open_process(sim.pids[placed.area.process])
    return space.madvise(placed.start + start, size or placed.area.size, advice)


def page_addrs(sim: SimulatedMachine, area: str) -> list[int]:
    """The virtual address of each page of an area."""
    placed = sim.state.placed[area]
    return list(range(placed.start, placed.end, 4096))


def _frames(sim: SimulatedMachine) -> dict[int, tuple[int, int]]:
    """Frame -> (area, page), from the pages' side; checks each area's own counts."""
    s = sim.state
    owner: dict[int, tuple[int, int]] = {}
    for area in range(s.m.nr_area):
        a = s.area.rows[area]
        swapped = huge = evicted = 0
        present, active = [0] * MAX_NODE, [0] * MAX_NODE
        for index in range(a.nr_pages):
            if valid(a, index):
                p = a.page[index]
                swapped += bool(p.flags & PG_SWAPPED)
                evicted += bool(p.flags & PG_EVICTED)
                assert not (p.flags & PG_EVICTED and p.flags & PG_PRESENT)
                active[node_of(s, p.frame) if page_present(a, index) else 0] += (
                    folio_nr(a, index) if p.flags & PG_ACTIVE else 0
                )
                if folio_nr(a, index) > 1:
                    huge += 1
                    assert index % BLOCK == page_pfn(s, p.frame) % BLOCK == a.start >> 12 & (BLOCK - 1) == 0
                    assert all(page_state(a, n) == ST_TAIL for n in range(index + 1, index + BLOCK))
                assert p.t_last <= p.t_eval <= sim.clock.now_ns()
            elif page_state(a, index) == ST_TAIL:
                assert folio_nr(a, index & -BLOCK) == BLOCK
            if page_present(a, index):
                frame = page_frame(a, index)
                present[node_of(s, frame)] += 1
                assert frame not in owner, "two pages in one frame"
                owner[frame] = area, index
        assert (huge, evicted) == (a.nr_huge, a.nr_evicted)
        assert (present, active) == (list(a.node_present), list(a.node_active))
        assert (sum(present), swapped, sum(active)) == (a.nr_present, a.nr_swapped, a.nr_active)
        assert a.mapped or not (sum(present) or swapped)
        assert not (a.locked and (swapped or evicted or sum(active)))
    return owner


def _check_buddy(s: State, free: set[int]) -> None:
    """Adds the frames of the page allocator, whose blocks are aligned and as large as can be."""
    assert s.buddy is not None
    blocks = s.buddy.blocks()
    sizes = dict(blocks)
    parts = [set(range(frame, frame + (1 << order))) for frame, order in blocks]
    parts += [{frame} for frame in s.buddy.listed()]
    for part in parts:
        assert not part & free, "free twice"
        free |= part
    for frame, order in blocks:
        pfn = page_pfn(s, frame)
        assert pfn % (1 << order) == 0
        assert page_pfn(s, frame + (1 << order) - 1) == pfn + (1 << order) - 1, "in one piece"
        other = frame + (pfn ^ (1 << order)) - pfn
        assert order == NR_ORDER - 1 or sizes.get(other) != order, "two buddies are free"


def _check_frames(sim: SimulatedMachine, owner: dict[int, tuple[int, int]]) -> None:
    s = sim.state
    free: set[int] = set()
    for node in range(s.m.nr_node):
        before = len(free)
        for n in range(s.m.node[node].nr_free_runs):
            run = s.free[node].rows[n]
            span = set(range(run.frame, run.frame + run.nr))
            assert span
            assert not span & free, "free twice"
            assert {node_of(s, run.frame), node_of(s, run.frame + run.nr - 1)} == {node}
            free |= span
        if s.buddy is not None:
            _check_buddy(s, free)
        assert len(free) - before == s.m.node[node].nr_free
    assert not free & owner.keys(), "free and used"
    assert len(free) == sim.free_mem()[0]
    assert len(free) + len(owner) + s.ram.held_pages == sim.free_mem()[1], "a frame is lost"


def _row(s: State, area: int, index: int) -> tuple[int, ...]:
    """A folio as a walk over physical memory has it."""
    a = s.area.rows[area]
    flags = FOLIO_MAPPED | (FOLIO_ANON if a.kind == ANON else 0)
    flags |= FOLIO_ACTIVE if valid(a, index) and a.page[index].flags & PG_ACTIVE else 0
    return page_pfn(s, page_frame(a, index)), folio_nr(a, index), a.memcg, flags


def _check_walks(sim: SimulatedMachine, owner: dict[int, tuple[int, int]]) -> None:
    """What the C routines find by page frame and by address, against the pages' own records."""
    s = sim.state
    by_pfn = {page_pfn(s, frame): (area, head(s.area.rows[area], index)) for frame, (area, index) in owner.items()}
    pfns = [res.pfn + n for res in s.m.res[: s.m.nr_res] for n in range(res.nr)]
    out = FolioArray(len(pfns))
    sim.phys.folios_at(addresses([pfn * 4096 for pfn in pfns]), len(pfns), out)
    for pfn, f in zip(pfns, out, strict=True):
        found = by_pfn.get(pfn)
        assert (f.pfn, f.nr_pages, f.memcg, f.flags) == (_row(s, *found) if found else (0, 0, 0, 0)), pfn
    walked = [(f.pfn, f.nr_pages, f.memcg, f.flags) for folios in sim.phys.folios(0, 2**40) for f in folios]
    assert walked == [_row(s, *page) for page in dict.fromkeys(by_pfn[pfn] for pfn in sorted(by_pfn))]
    for number, name in enumerate(s.processes):
        if not s.process.rows[number].alive:
            continue
        expected = []
        for area, a in enumerate(s.areas()):
            heads = dict.fromkeys(head(a, n) for n in range(a.nr_pages) if page_present(a, n))
            expected += [(a.start + n * 4096, *_row(s, area, n)) for n in heads if a.process == number]
        space = sim.open_process(sim.pids[name])
        met = [(f.addr, f.pfn, f.nr_pages, f.memcg, f.flags) for folios in space.folios(0, 2**47) for f in folios]
        assert met == sorted(expected)


def _check_lists(sim: SimulatedMachine, owner: dict[int, tuple[int, int]]) -> None:
    s = sim.state
    members: dict[tuple[int, int], tuple[int, int]] = {}
    for number in range(s.m.nr_memcg * s.m.nr_node):
        memcg, node = divmod(number, s.m.nr_node)
        vec = s.cgroups.lruvec.rows[number]
        for which in range(NR_LIST):
            live = 0
            assert vec.head[which] - vec.tail[which] <= s.m.run_mask + 1
            for at in range(vec.tail[which], vec.head[which]):
                run = s.cgroups.runs[number][which].rows[at & s.m.run_mask]
                a = s.area.rows[run.area]
                assert a.memcg == memcg
                for index in range(run.page, run.page + run.nr):
                    if a.mapped and page_present(a, index) and lru_seq(s, a, index) == run.seq:
                        assert (run.area, index) not in members, "on two lists"
                        members[run.area, index] = node, which
                        live += folio_nr(a, index)
            assert live == vec.nr[which]
    heads = {(area, head(s.area.rows[area], index)) for area, index in owner.values()}
    assert members.keys() == heads, "a folio in memory is on no list"
    frames = {page: frame for frame, page in owner.items()}
    for (area, index), (node, which) in members.items():
        a = s.area.rows[area]
        active = valid(a, index) and a.page[index].flags & PG_ACTIVE
        assert which == (UNEVICTABLE if a.locked else a.kind * 2 + bool(active))
        assert node == node_of(s, frames[area, index])


def _check_cgroups(sim: SimulatedMachine) -> None:
    """What cgroups are charged, from their areas; and that none has more than its limits."""
    s = sim.state
    for stat in sim.cgroups():
        number = s.cgroups.ids[stat.name]
        row, below = s.cgroups.memcg.rows[number], s.cgroups.tree(number)
        areas = [a for a in s.areas() if a.memcg in below]
        assert stat.resident_bytes == 4096 * sum(a.nr_present for a in areas)
        assert stat.swapped_bytes == 4096 * sum(a.nr_swapped for a in areas)
        assert stat.faults == sum(a.faults for a in areas) >= stat.refaults == sum(a.refaults for a in areas)
        assert sum(row.nr) <= row.max or not any(process.alive for process in sim.processes())
        assert row.nr_swapped <= row.swap_max
        assert 0 <= stat.psi_some_us <= sim.psi_some_us()
        for vec in range(number * s.m.nr_node, (number + 1) * s.m.nr_node):
            assert all(own <= all_ for own, all_ in zip(s.cgroups.lruvec.rows[vec].nr, row.nr, strict=True))
    root = s.cgroups.memcg.rows[0]
    assert sum(root.nr) == sum(a.nr_present for a in s.areas())
    assert root.nr_swapped == s.m.swap_used


def _check_latency(sim: SimulatedMachine) -> None:
    """What the mean touch of an area costs, from the pages' side."""
    s = sim.state
    for area, a in enumerate(s.areas()):
        assert s.m.latency or not (a.touch_ns or a.latency_ns)
        if not a.mapped or not s.m.latency:
            continue
        seg, costs = a.seg[a.nr_seg - 1], s.m.node[s.process.rows[a.process].node].touch_ns
        here = [index for index in range(a.nr_pages) if page_present(a, index)]
        of = share if seg.pattern != SimPattern.TRACE else partial(traced_share, s, area)
        each = [of(seg, index) * costs[node_of(s, page_frame(a, index))] for index in here]
        assert a.touch_ns == pytest.approx(sum(each), rel=1e-5, abs=1e-6), area
        by_node = [0.0] * s.m.nr_node
        for index in here:
            by_node[node_of(s, page_frame(a, index))] += of(seg, index) * seg.rate
        assert list(a.node_rate[: s.m.nr_node]) == pytest.approx(by_node, rel=1e-5, abs=1e-12), area


def _check_events(sim: SimulatedMachine) -> None:
    """Each absent page that will be touched is covered by one event, and the heap is one."""
    s = sim.state
    rows = [s.event.rows[n] for n in range(s.m.nr_event)]
    for n, ev in enumerate(rows[1:], 1):
        parent = rows[(n - 1) // 2]
        assert (parent.t, parent.id) < (ev.t, ev.id)
    daemons = sorted(ev.page for ev in rows if ev.area == KSWAPD)
    awake = [node for node in daemons if node != KHUGEPAGED]
    assert len(daemons) - len(awake) == s.m.khugepaged
    assert awake == [node for node in range(s.m.nr_node) if s.m.node[node].kswapd_awake]
    for area in range(s.m.nr_area):
        a = s.area.rows[area]
        covered = [0] * a.nr_pages
        for ev in rows:
            if ev.area == area and ev.epoch == a.epoch:
                for index in range(ev.page, ev.page + ev.nr):
                    covered[index] += 1
        seg = a.seg[a.nr_seg - 1] if a.mapped else None
        for index, events in enumerate(covered):
            if seg is None or seg.pattern == SimPattern.NONE:
                assert events == 0
                continue
            touched = seg.pattern != SimPattern.STRIDED or share(seg, index) > 0.0
            if seg.pattern == SimPattern.TRACE and not events:
                touched = not page_present(a, index) and traced_again(s, area, index)
            if not page_present(a, index):
                assert events == 1 or not touched, "an absent page's next touch is lost"
            assert events <= 1, "two next touches of one page"


def check(sim: SimulatedMachine) -> None:
    """What must hold of every machine at every moment."""
    s, m = sim.state, sim.state.m
    owner = _frames(sim)
    _check_frames(sim, owner)
    _check_walks(sim, owner)
    _check_lists(sim, owner)
    _check_events(sim)
    _check_cgroups(sim)
    _check_latency(sim)
    for n in range(m.nr_process):
        process = s.process.rows[n]
        areas = [s.area.rows[process.first_area + k] for k in range(process.nr_area)]
        assert process.nr_present == sum(a.nr_present for a in areas)
        assert process.nr_swapped == sum(a.nr_swapped for a in areas)
        assert process.alive or not process.nr_present
    inside = [0] * m.nr_swap
    for a in s.areas():
        for index in range(a.nr_pages):
            if valid(a, index) and a.page[index].flags & PG_SWAPPED:
                inside[a.page[index].swap] += 1
    assert inside == [device.used_bytes // 4096 for device in sim.swaps()]
    assert all(device.used_bytes <= device.size_bytes for device in sim.swaps())
    assert m.swap_used == sum(s.area.rows[n].nr_swapped for n in range(m.nr_area)) <= m.swap_pages
    assert all(v in (LEAF, 0) or v >> 32 >= 2 for v in s.block.rows)
