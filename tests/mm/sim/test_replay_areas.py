# SPDX-License-Identifier: GPL-2.0-only
"""Areas of traces over time: when they are mapped, what becomes of their pages, and what lies beside them."""

from __future__ import annotations

import errno
import math
from pathlib import Path
from random import Random

import pytest

from damon.mm.sim import SimulatedMachine
from damon.mm.sim.sampler import AccessSampler
from damon.model.machine import Advice
from damon.model.report import DamonAccessReport
from damon.workload.load import load_workload, parse_workload
from damon.workload.model import Area, MachineSpec, Node, Phase, Replay, Workload
from damon.workload.tracefile.form import TracedArea
from damon.workload.tracefile.mapping import changes
from tests import buffers
from tests.buffers import addresses
from tests.mm.sim.machines import MIB, advise, check, page_addrs
from tests.refusals import refused
from tests.workload.traces import MS, Window, random_windows, write


def _steady(path: Path, mapped: tuple[tuple[int, int], ...] = ((0, 1000 * MS),), loop: bool = False) -> Path:
    """A second of ten windows: page n of 10 is touched in window n, some hundred times."""
    windows = [Window(n * 100 * MS, (n + 1) * 100 * MS, [(n, n + 1, 300.0, 1.0)]) for n in range(10)]
    return write(path, [("web", 10, windows)], [TracedArea("heap", 0, 0, 10, mapped=mapped)], 1000 * MS, loop)


def _hot(sim: SimulatedMachine, area: str) -> list[int]:
    """The pages that are touched in 10 ms."""
    placed = sim.state.placed[area]
    addrs = page_addrs(sim, area)
    space = sim.open_process(sim.pids[placed.area.process])
    batch = space.mkold(addresses(addrs), len(addrs))
    sim.clock.sleep_us(10_000)
    return [page for page, young in enumerate(buffers.young(space, batch)) if young]


@pytest.mark.parametrize(
    ("options", "at_ms", "hot"),
    [
        ({}, 350, [3]),
        ({}, 1350, []),
        ({"loop": True}, 5350, [3]),
        ({"from": "200ms", "to": "500ms"}, 50, [2]),
        ({"from": "200ms", "to": "500ms"}, 350, []),
        ({"from": "200ms", "to": "500ms", "loop": True}, 350, [2]),
        ({"from": "200ms", "to": "500ms", "loop": True, "time_scale": 2}, 850, [3]),
        ({"time_scale": 0.5}, 175, [3]),
        ({"size_scale": 3}, 350, [9, 10, 11]),
        ({"size_scale": 0.5}, 350, []),
        ({"size_scale": 0.5}, 450, [2]),
    ],
    ids=str,
)
def test_options_of_a_replay(tmp_path: Path, options: dict[str, object], at_ms: int, hot: list[int]) -> None:
    _steady(tmp_path / "t.trace")
    data = {"areas": {"web": {"trace": "t.trace", **options}}, "machine": {"hz": 0}}
    with SimulatedMachine(parse_workload(data, directory=tmp_path), 1) as sim:
        sim.clock.sleep_us(at_ms * 1000)
        assert _hot(sim, "web.heap") == hot


def test_areas_come_and_go_at_their_times(tmp_path: Path) -> None:
    """And again in the next round, at twice the time; what is gone has no memory, and comes back populated."""
    path = _steady(tmp_path / "t", ((200 * MS, 500 * MS), (700 * MS, 1000 * MS)))
    replay = Replay(str(path), 0, 0, 1000 * MS, True, 2.0)
    area = Area("a", 40960, mapped_at_start=False, replay=replay)
    with SimulatedMachine(
        Workload("w", (area,), (Phase("only", 1000),), machine=MachineSpec(16 * MIB, hz=0)), 1
    ) as sim:
        for round_ms in (0, 2000):
            for at_ms, there in ((399, 0), (401, 1), (999, 1), (1001, 0), (1399, 0), (1401, 1), (1999, 1)):
                sim.clock.sleep_us((round_ms + at_ms) * 1000 - sim.clock.now_ns() // 1000)
                stat = sim.areas()[0]
                assert (stat.mapped, stat.resident_bytes) == (bool(there), 40960 * there)
                check(sim)


def test_what_changes_when(tmp_path: Path) -> None:
    area = TracedArea("a", 0, 0, 1, mapped=((0, 10), (20, 30), (40, 50)))

    def turns(replay: Replay, most: int = 7) -> list[tuple[int, bool]]:
        return [turn for turn, _ in zip(changes(replay, area), range(most), strict=False)]

    assert turns(Replay("", 0, 0, 60)) == [(10, False), (20, True), (30, False), (40, True), (50, False)]
    assert turns(Replay("", 0, 5, 25, True, 2.0)) == [
        (10, False),
        (30, True),
        (50, False),
        (70, True),
        (90, False),
        (110, True),
        (130, False),
    ]
    assert turns(Replay("", 0, 0, 15, True)) == [
        (10, False),
        (15, True),
        (25, False),
        (30, True),
        (40, False),
        (45, True),
        (55, False),
    ]
    assert turns(Replay("", 0, 22, 28, True)) == []
    assert turns(Replay("", 0, 12, 18, True)) == []


def test_a_killed_process_stays_dead(tmp_path: Path) -> None:
    """Its areas come no more, in no round."""
    windows = [Window(0, 100 * MS, [(0, 4000, 1.0, 1.0)])]
    areas = [
        TracedArea("big", 0, 0, 4000, mapped=((0, 100 * MS),)),
        TracedArea("more", 0, 4000, 1, mapped=((0, 50 * MS),)),
    ]
    path = write(tmp_path / "t", [("p", 4001, windows)], areas, 100 * MS, loop=True)
    data = {"areas": {"p": {"trace": str(path)}}, "machine": {"memory": "8M", "swap": "none"}}
    with SimulatedMachine(parse_workload(data), 1) as sim:
        sim.clock.sleep_us(500_000)
        assert len(sim.kills()) == 1
        assert not any(area.mapped for area in sim.areas())
        check(sim)


def test_traces_beside_other_areas_and_phases(tmp_path: Path) -> None:
    _steady(tmp_path / "t.trace", loop=True)
    (tmp_path / "w.yaml").write_text(
        "areas:\n  one: {trace: t.trace}\n  two: {trace: t.trace, from: 500ms, process: own}\n"
        "  mine: {size: 40K, process: own}\n"
        "phases:\n  - {duration: 1s, access: [{area: mine, rate: 10k, pattern: sequential}]}\n  - {duration: 1s}\n"
        "machine: {hz: 0}\nrepeat: true\n"
    )
    with SimulatedMachine(load_workload(tmp_path / "w.yaml"), 1) as sim:
        assert [(area.name, area.process) for area in sim.areas()] == [
            ("one.heap", "one"), ("two.heap", "own"), ("mine", "own"),
        ]  # fmt: skip
        sim.clock.sleep_us(2_050_000)
        assert (_hot(sim, "one.heap"), _hot(sim, "two.heap"), len(_hot(sim, "mine"))) == ([0], [5], 10)
        sim.clock.sleep_us(1_000_000)
        assert (_hot(sim, "one.heap"), _hot(sim, "two.heap"), len(_hot(sim, "mine"))) == ([0], [5], 0)


def test_pages_that_left_come_back_when_they_are_touched(tmp_path: Path) -> None:
    with SimulatedMachine(load_workload(_steady(tmp_path / "t")), 1) as sim:
        sim.clock.sleep_us(20_000)
        assert advise(sim, Advice.PAGEOUT, area="heap") == 0
        sim.clock.sleep_us(200_000)
        assert sim.areas()[0].resident_bytes == 3 * 4096
        assert sim.areas()[0].refaults == 3
        sim.clock.sleep_us(5_000_000)
        assert (sim.areas()[0].resident_bytes, sim.areas()[0].swapped_bytes) == (40960, 0)
        assert sim.touches("heap") == 3000


def test_writes_of_a_trace_dirty_files(tmp_path: Path) -> None:
    """The share of pages that were written: 1 - exp(-writes)."""
    dirty, rounds = 0, 30
    windows = [Window(n * 10 * MS, (n + 1) * 10 * MS, [(0, 256, 0.2, 51 / 255)]) for n in range(10)]
    path = write(
        tmp_path / "t", [("p", 256, windows)], [TracedArea("f", 0, 0, 256, "file", mapped=((0, 200 * MS),))], 200 * MS
    )
    for seed in range(rounds):
        with SimulatedMachine(load_workload(path), seed) as sim:
            sim.clock.sleep_us(150_000)
            assert advise(sim, Advice.PAGEOUT, area="f") == 0
            dirty += sim.counters()["writeback"]
    share = 1 - math.exp(-0.2 * 2.0)
    assert dirty / (rounds * 256) == pytest.approx(share, abs=5 * math.sqrt(share * (1 - share) / (rounds * 256)))


def test_what_touches_cost_is_summed_by_stages(tmp_path: Path) -> None:
    """All memory on a node of 80 ns: 80 ns for each touch."""
    nodes = (Node(16 * MIB, 80.0), Node(16 * MIB, 250.0))
    replay = Replay(str(_steady(tmp_path / "t")), 0, 0, 1000 * MS, True)
    work = Workload(
        "w", (Area("a", 40960, replay=replay),), (Phase("only", 1000),), machine=MachineSpec(32 * MIB, nodes=nodes)
    )
    with SimulatedMachine(work, 1) as sim:
        sim.clock.sleep_us(2_300_000)
        assert sim.touches("a") == pytest.approx(6900, abs=2)
        assert sim.areas()[0].latency_us == pytest.approx(6900 * 0.08, rel=1e-3)


def test_samples_of_a_trace_agree_with_its_rates(tmp_path: Path) -> None:
    found: list[DamonAccessReport] = []
    with SimulatedMachine(load_workload(_steady(tmp_path / "t")), 1) as sim:
        sampler = AccessSampler(sim, found.append, period=10, seed=3)
        sampler.start()
        sim.clock.sleep_us(450_000)
        sampler.stop()
        start = sim.state.placed["heap"].start
    pages = [(report.vaddr - start) // 4096 for report in found]
    assert [pages.count(page) for page in range(6)] == [30, 30, 30, 30, 15, 0]
    assert all(report.is_write for report in found)


def test_memory_does_not_grow_with_the_trace(tmp_path: Path) -> None:
    """The state of a machine after the same time of a trace ten times as long, in pages that it has touched."""
    rnd, resident = Random(1), []
    for number in (60, 600):
        windows = random_windows(rnd, 1000, number)
        areas = [TracedArea("a", 0, 0, 1000, mapped=((0, windows[-1].t1),))]
        path = write(tmp_path / f"t{number}", [("p", 1000, windows)], areas, windows[-1].t1)
        with SimulatedMachine(load_workload(path), 1) as sim:
            assert sim.state.area.rows[0].nr_seg == 2
            sim.clock.sleep_us(1_000_000)
            resident.append((sim.state.area.rows[0].nr_seg, sim.state.m.nr_event))
    assert resident[0] == resident[1]


def test_traces_beside_what_is_written_out(tmp_path: Path) -> None:
    """Hot spots that move and instances are expanded; the areas of the trace stay as they are."""
    _steady(tmp_path / "t.trace", loop=True)
    data = {
        "duration": "4s", "machine": {"hz": 0, "memory": "64M"},
        "areas": {"one": {"trace": "t.trace"}, "cache": {"size": "64K"}},
        "access": [{"area": "cache", "rate": "1k", "hot": {"size": "16K", "rate": "9k", "every": "1s"}}],
        "programs": {"job": {"areas": {"data": {"size": "16K"}}, "access": [{"area": "data", "rate": "1k"}]}},
        "instances": [{"program": "job", "every": "1s", "lifetime": "500ms"}],
    }  # fmt: skip
    workload = parse_workload(data, directory=tmp_path)
    assert [area.name for area in workload.areas if area.replay is not None] == ["one.heap"]
    assert len(workload.areas) > 5
    with SimulatedMachine(workload, 1) as sim:
        sim.clock.sleep_us(2_350_000)
        assert _hot(sim, "one.heap") == [3]
        check(sim)
    with refused(errno.EINVAL) as caught:
        areas = {**data["areas"], "one": {"trace": "t.trace", "process": "job"}}  # type: ignore[dict-item]
        parse_workload({**data, "areas": areas}, directory=tmp_path)
    assert "areas: 'job': is a process of a trace" in str(caught.value)
