# SPDX-License-Identifier: GPL-2.0-only
"""NUMA nodes of the simulated machine: where memory is and comes from, migration, what touches cost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from damon.core import Damon
from damon.errors import InvalidInput
from damon.mm.sim import SimulatedMachine
from damon.mm.sim.counters import Counters
from damon.mm.sim.ram import GIB, node_ram, system_ram
from damon.model.arrays import FOLIO_ACTIVE, FOLIO_PASS, FolioArray
from damon.model.machine import Advice
from damon.model.regions import set_regions
from damon.model.scheme import Damos, DamosAccessPattern, DamosAction
from damon.model.target import DamonTarget
from damon.workload.model import (
    Access,
    Area,
    Event,
    Node,
    Pattern,
    Phase,
    PhaseEvent,
    ProcessSpec,
    Workload,
)
from tests.buffers import addresses
from tests.mm.sim.machines import MIB, SWAP, check, machine, page_addrs, stat, young

TWO = (Node(32 * MIB, 100.0), Node(64 * MIB, 100.0))  # 20: another node's memory costs 200 ns


def _machine(*areas: Area, nodes: tuple[Node, ...] = TWO, **given: Any) -> SimulatedMachine:
    return machine(*areas, **{"nodes": nodes, "swap": SWAP, **given})


def _move(sim: SimulatedMachine, target: int, wanted: Callable[[int], bool] = lambda n: True, area: str = "a") -> int:
    """Migrate pages of an area, by their number in it."""
    space, placed = sim.open_process(sim.pids["main"]), sim.state.placed[area]
    moved = 0
    for folios in space.folios(placed.start, placed.end):
        for folio in folios:
            folio.target_nid = target
            folio.flags |= FOLIO_PASS if wanted((folio.addr - placed.start) >> 12) else 0
        moved += space.migrate(folios)
    return moved


def _nodes(sim: SimulatedMachine, area: str = "a") -> tuple[int, ...]:
    return tuple(size // 4096 for size in stat(sim, area).node_bytes)


# -- where memory is


def test_tiers_are_by_latency_and_a_node_that_nothing_touches_has_no_cost() -> None:
    nodes_ = (Node(32 * MIB, 300.0), Node(32 * MIB, 80.0), Node(32 * MIB, 300.0))
    sim = _machine(Area("a", MIB), nodes=nodes_, accesses=(Access("a", 1e6, Pattern.RANDOM),))
    counters = Counters(sim)
    nodes = counters.tables([0], counters.read())["nodes"]
    assert list(nodes["tier"]) == [1, 0, 1]
    assert [value is None for value in nodes["touch_ns"]] == [False, True, True]


def test_nodes_share_system_ram_in_order_of_address() -> None:
    assert node_ram([GIB]) == [(*span, 0) for span in system_ram(GIB)]
    assert node_ram([2 * GIB, GIB, 4 * GIB]) == [
        (0x1000, 0x9FC00, 0), (1 << 20, 2 * GIB, 0), (2 * GIB, 3 * GIB, 1), (4 * GIB, 8 * GIB, 2),
    ]  # fmt: skip
    assert node_ram([4 * GIB, GIB])[-2:] == [(4 * GIB, 5 * GIB, 0), (5 * GIB, 6 * GIB, 1)]


def test_spans_and_sizes_of_nodes() -> None:
    sim = _machine(Area("a", MIB))
    assert sim.system_ram() == ((0x1000, 0x9FC00), (MIB, 96 * MIB))
    assert sim.node_spans() == ((0x1000, 0x9FC00, 0), (MIB, 32 * MIB, 0), (32 * MIB, 96 * MIB, 1))
    free, total = zip(*(sim.node_mem(nid) or (0, 0) for nid in range(2)), strict=True)
    assert (sum(free), sum(total)) == sim.free_mem()
    assert total[1] == 63 * MIB // 4096, "its own memory map"
    assert free[0] == total[0] - 256
    assert sim.node_mem(2) is None
    assert sim.node_mem(-1) is None
    check(sim)


def test_a_machine_without_nodes_is_one_and_touches_cost_nothing() -> None:
    sim = SimulatedMachine(Workload("w", (Area("a", MIB),), (Phase("p", 1, (Access("a", 1e6),)),)), 1)
    sim.clock.sleep_us(1000)
    assert {nid for _, _, nid in sim.node_spans()} == {0}
    assert sim.node_mem(0) == sim.free_mem()
    assert (stat(sim).touch_ns, stat(sim).latency_us, sim.processes()[0].latency_us) == (0.0, 0.0, 0.0)


def test_a_process_gets_memory_of_its_node_and_then_of_the_nearest_other() -> None:
    three = (Node(32 * MIB, 1.0), Node(32 * MIB, 1.0, (21, 10, 20)), Node(32 * MIB, 1.0))
    areas = (Area("a", 4 * MIB), Area("b", 48 * MIB, process="far"))
    sim = _machine(*areas, nodes=three, processes=(ProcessSpec("far", node=1),))
    assert _nodes(sim) == (1024, 0, 0)
    here, there, nearer = _nodes(sim, "b")
    assert (here, there + nearer) == (0, 48 * 256)
    assert there > 7000
    marks = sim.state.m.node[1]
    assert marks.nr_free == marks.wmark_low, "down to the low watermark, and no reclaim for that"
    assert not marks.kswapd_awake
    check(sim)


def test_reclaim_begins_on_all_nodes_when_none_has_enough() -> None:
    sim = _machine(
        Area("a", 78 * MIB), Area("b", 12 * MIB, populate=False, process="late"),
        accesses=(Access("b", 1e4, Pattern.SEQUENTIAL),),
    )  # fmt: skip
    sim.clock.sleep_us(500_000)
    assert stat(sim, "b").resident_bytes == 12 * MIB
    counters = sim.counters()
    assert counters["pgsteal_kswapd"] > 0
    assert counters["allocstall"] == 0
    for nid in range(2):
        assert sim.state.m.node[nid].nr_free >= sim.state.m.node[nid].wmark_min
    before = stat(sim).node_bytes
    assert before[1] < 63 * MIB
    check(sim)


def test_pages_of_a_cgroup_by_node() -> None:
    sim = _machine(Area("a", MIB, memcg="web"), Area("b", MIB))
    _move(sim, 1, lambda n: n < 100)
    assert [sim.node_memcg_pages(nid, sim.memcg_id("web")) for nid in range(3)] == [156, 100, None]
    check(sim)


def test_machines_with_bad_nodes_are_refused() -> None:
    with pytest.raises(InvalidInput, match=r"machine\.nodes\[1\]\.size: 2097152: is not valid"):
        _machine(Area("a", MIB), nodes=(Node(8 * MIB), Node(2 * MIB)))
    with pytest.raises(InvalidInput, match=r"processes\.main\.node: 2: .* below 2"):
        _machine(Area("a", MIB), processes=(ProcessSpec("main", node=2),))
    with pytest.raises(InvalidInput, match=r"machine\.reserved: 31457280: leaves nothing"):
        _machine(Area("a", MIB), reserved=30 * MIB)


# -- migration


def test_migration_moves_what_is_chosen_and_costs_the_callers_time() -> None:
    sim = _machine(Area("a", MIB), migrate_us=3.0, scan_us=0.5)
    before = sim.clock.now_ns()
    assert _move(sim, 1, lambda n: n % 4 == 0) == 64
    assert sim.clock.now_ns() - before == 64 * 3000 + 256 * 500
    assert _nodes(sim) == (192, 64)
    spans = {nid: [(a, b) for a, b, n in sim.node_spans() if n == nid] for nid in range(2)}
    space = sim.open_process(sim.pids["main"])
    for folios in space.folios(0, 2**47):
        for folio in folios:
            nid = 1 if folio.addr >> 12 & 3 == 0 else 0
            assert any(a <= folio.pfn << 12 < b for a, b in spans[nid])
    assert _move(sim, 1) == 192, "those that are there already are not counted"
    counters = sim.counters()
    assert (counters["pgmigrate_success"], counters["pgmigrate_fail"]) == (256, 0)
    check(sim)


@pytest.mark.parametrize("target", [-1, 2, 7, 1000, -5, 2**31 - 1])
def test_nowhere_is_no_error(target: int) -> None:
    sim = _machine(Area("a", MIB))
    assert _move(sim, target) == 0
    assert _nodes(sim) == (256, 0)
    assert sim.counters()["pgmigrate_fail"] == 0


def test_a_full_node_takes_no_more_and_its_reclaim_begins() -> None:
    sim = _machine(Area("b", 16 * MIB), Area("a", 40 * MIB, process="main"), processes=(ProcessSpec("main", node=1),))
    assert _nodes(sim) == (0, 40 * 256)
    moved = _move(sim, 0)
    low = sim.state.m.node[0]
    assert 0 < moved < 40 * 256
    assert low.nr_free == low.wmark_min
    assert sim.counters()["pgmigrate_fail"] == 40 * 256 - moved
    assert low.kswapd_awake
    sim.clock.sleep_us(100_000)
    assert low.nr_free >= low.wmark_high
    check(sim)


def test_what_is_known_of_a_page_moves_with_it() -> None:
    sim = _machine(Area("a", MIB), accesses=(Access("a", 3000, Pattern.RANDOM),))
    space, addrs = sim.open_process(sim.pids["main"]), page_addrs(sim, "a")
    buffer = addresses(addrs)
    for folios in sim.phys.folios(0, 96 * MIB):
        folios[5].flags |= FOLIO_PASS
        assert sim.phys.activate(folios) == 1
    space.mkold(buffer, len(addrs))
    sim.clock.sleep_us(20_000)
    before = young(space, addrs, buffer)
    assert 10 < sum(before) < 200
    assert _move(sim, 1) == 256
    assert young(space, addrs, buffer) == before
    flags = [bool(f.flags & FOLIO_ACTIVE) for folios in space.folios(0, 2**47) for f in folios]
    assert flags == [n == 5 for n in range(256)]
    check(sim)


def test_pages_that_moved_can_be_paged_out_and_come_back_to_the_own_node() -> None:
    sim = _machine(Area("a", MIB))
    space, start = sim.open_process(sim.pids["main"]), sim.state.placed["a"].start
    assert _move(sim, 1) == 256
    assert space.madvise(start, MIB, Advice.PAGEOUT) == 0
    assert _nodes(sim) == (0, 0)
    check(sim)
    assert space.madvise(start, MIB, Advice.WILLNEED) == 0
    assert _nodes(sim) == (256, 0)
    check(sim)


def test_pages_that_left_meanwhile_do_not_move() -> None:
    sim = _machine(Area("a", MIB))
    space = sim.open_process(sim.pids["main"])
    for folios in space.folios(0, 2**47):
        for folio in folios:
            folio.flags |= FOLIO_PASS
            folio.target_nid = 1
        assert space.madvise(sim.state.placed["a"].start, MIB, Advice.PAGEOUT) == 0
        assert space.migrate(folios) == 0
    assert space.migrate(FolioArray(4)) == 0


# -- what touches cost


@pytest.mark.parametrize(
    "access",
    [
        Access("a", 1e6, Pattern.RANDOM),
        Access("a", 1e5, Pattern.SEQUENTIAL),
        Access("a", 1e6, Pattern.ZIPF, skew=1.0),
        Access("a", 1e6, Pattern.ZIPF, skew=0.7),
        Access("a", 1e6, Pattern.STRIDED, stride=12288),
    ],
    ids=lambda access: f"{access.pattern.value}-{access.skew}",
)
def test_latency_is_the_touches_by_what_their_node_costs(access: Access) -> None:
    """The first 100 of 1024 pages near, the others far: their share of touches times 100 ns, the rest times 200 ns."""
    sim = _machine(Area("a", 4 * MIB), accesses=(access,))
    assert stat(sim).touch_ns == pytest.approx(100.0)
    _move(sim, 1, lambda n: n >= 100)
    pages = range(1024)
    if access.pattern is Pattern.ZIPF:
        weights = [(n + 1) ** -access.skew for n in pages]
    else:
        weights = [1.0 if access.pattern is not Pattern.STRIDED or n % 3 == 0 else 0.0 for n in pages]
    near = sum(weights[:100]) / sum(weights)
    assert stat(sim).touch_ns == pytest.approx(near * 100 + (1 - near) * 200, rel=1e-6)
    counters = Counters(sim)
    nodes = counters.tables([0], counters.read())["nodes"]
    assert list(nodes["tier"]) == [0, 0], "the same memory, farther away"
    assert nodes["touches_per_s"] == pytest.approx([near * access.rate, (1 - near) * access.rate], rel=1e-6)
    assert nodes["touch_ns"] == pytest.approx([100, 200])
    then, before = sim.clock.now_ns(), stat(sim).latency_us
    sim.clock.sleep_us(2_000_000)
    spent = (stat(sim).latency_us - before) * 1000
    touches = access.rate * (sim.clock.now_ns() - then) / 1e9
    assert spent == pytest.approx(touches * (near * 100 + (1 - near) * 200), rel=1e-6)
    assert sim.processes()[0].latency_us == pytest.approx(stat(sim).latency_us)
    check(sim)


def test_latency_follows_phases_and_absent_pages_cost_nothing() -> None:
    phases = (
        Phase("touch", 1_000_000, (Access("a", 1000, Pattern.RANDOM),)),
        Phase("rest", 1_000_000),
        Phase("more", 1_000_000, (Access("a", 4000, Pattern.RANDOM),)),
        Phase("gone", 1_000_000, (), (PhaseEvent(Event.MUNMAP, "a"),)),
    )
    sim = _machine(Area("a", MIB), phases=phases, nodes=(Node(32 * MIB, 100.0), Node(32 * MIB)))
    for expected in (100, 100, 500, 500):
        sim.clock.sleep_us(1_000_000)
        assert stat(sim).latency_us == pytest.approx(expected, abs=0.01)
    empty = _machine(Area("a", MIB, populate=False), accesses=(Access("a", 1.0),))
    assert stat(empty).touch_ns == 0.0


def test_pages_that_leave_and_come_back_change_what_touches_cost() -> None:
    sim = _machine(Area("a", MIB), accesses=(Access("a", 20, Pattern.ZIPF),))
    space, start = sim.open_process(sim.pids["main"]), sim.state.placed["a"].start
    before = stat(sim).touch_ns
    assert space.madvise(start, MIB // 2, Advice.PAGEOUT) == 0
    norm = sum(1 / rank for rank in range(1, 257))
    assert stat(sim).touch_ns == pytest.approx(100 * sum(1 / rank for rank in range(129, 257)) / norm, rel=1e-5)
    sim.clock.sleep_us(1_000_000_000)
    assert stat(sim).refaults > 120
    assert stat(sim).touch_ns == pytest.approx(before, rel=0.02)
    check(sim)


@pytest.mark.parametrize("first", range(1, 40, 7))
@pytest.mark.parametrize("nr", [1, 2, 31, 33, 512, 100_000])
@pytest.mark.parametrize("skew", [0.3, 1.0, 1.00001, 2.5, 8.0])
def test_sums_of_ranks(first: int, nr: int, skew: float) -> None:
    """What touches of pages ``first`` to ``first + nr - 1`` cost, as one stretch: the sum of their ranks' weights."""
    pages = first - 1 + nr
    phases = (Phase("rest", 1_000), Phase("touch", 1_000_000, (Access("a", 1.0, Pattern.ZIPF, skew=skew),)))
    sim = _machine(Area("a", pages * 4096), phases=phases, nodes=(Node(GIB, 100.0), Node(4 * MIB)))
    space, start = sim.open_process(sim.pids["main"]), sim.state.placed["a"].start
    assert space.madvise(start, (first - 1) * 4096, Advice.PAGEOUT) == 0
    sim.clock.sleep_us(2_000)
    direct = sum(rank**-skew for rank in range(first, first + nr))
    norm = direct + sum(rank**-skew for rank in range(1, first))
    assert stat(sim).touch_ns == pytest.approx(100 * direct / norm, rel=1e-5, abs=1e-10)


@pytest.mark.parametrize(("ops", "action"), [("paddr", "migrate_hot"), ("vaddr", "migrate_hot")])
def test_tiering_by_a_scheme_lowers_what_touches_cost(ops: str, action: str) -> None:
    """Hot memory lies on the far node since the near one was full of cold memory; a scheme brings it home."""
    nodes = (Node(32 * MIB, 100.0), Node(64 * MIB, 300.0))
    phases = (Phase("only", 1_000_000, (Access("hot", 2e5, Pattern.SEQUENTIAL),)),)
    areas = (Area("hot", 4 * MIB), Area("cold", 24 * MIB, process="other"))
    sim = _machine(*areas, nodes=nodes, phases=phases, processes=(ProcessSpec("other", node=1),))
    _move(sim, 1, area="hot")
    assert stat(sim, "hot").touch_ns == pytest.approx(600)
    damon = Damon(sim, seed=1)
    ctx = damon.new_ctx()
    damon.select_ops(ctx, ops)
    pattern = DamosAccessPattern(min_nr_accesses=10)
    ctx.schemes.append(Damos(pattern=pattern, action=DamosAction(action), target_nid=0))
    target = DamonTarget(space=sim.open_process(sim.pids["main"]) if ops == "vaddr" else None)
    if ops == "paddr":
        set_regions(target, [(start, end) for start, end, nid in sim.node_spans() if nid == 1], 4096)
    ctx.targets.append(target)
    damon.start([ctx])
    sim.clock.sleep_us(4_000_000)
    damon.stop([ctx])
    assert stat(sim, "hot").touch_ns < 110
    assert stat(sim, "cold").node_bytes[0] < 4 * MIB
    assert ctx.schemes[0].stat.sz_applied >= 4 * MIB * 0.95
    check(sim)
