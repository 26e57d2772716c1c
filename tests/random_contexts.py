# SPDX-License-Identifier: GPL-2.0-only
"""Random machines, contexts and parameters for whole runs: everything that there is, in sizes that stay quick."""

from __future__ import annotations

from random import Random

from damon.core import Damon, set_attrs
from damon.core.level import of_level
from damon.mm.sim import SimulatedMachine
from damon.model.attrs import U32_MAX, ULONG_MAX, DamonAttrs, DamonIntervalsGoal
from damon.model.context import DamonCtx
from damon.model.level import Level
from damon.model.probe import DamonFilter, DamonFilterType, DamonPrep, DamonProbe
from damon.model.scheme import (
    Damos,
    DamosAccessPattern,
    DamosAction,
    DamosFilter,
    DamosFilterType,
    DamosMigrateDest,
    DamosQuota,
    DamosQuotaGoal,
    DamosQuotaGoalMetric,
    DamosQuotaGoalTuner,
    DamosWatermarks,
    DamosWmarkMetric,
)
from damon.model.target import DamonTarget
from damon.workload.model import (
    Access,
    Area,
    Event,
    Hotplug,
    Kind,
    MachineSpec,
    Node,
    Pattern,
    Phase,
    PhaseEvent,
    Swap,
    Workload,
)

PAGE, KIB, MIB = 4096, 1 << 10, 1 << 20
SPACES = ("vaddr", "fvaddr", "paddr")


def random_workload(rnd: Random, scale: int = 1, nr_phases: int = 4) -> Workload:
    """Processes that come and go, mappings, memory that is plugged, two nodes or one, too little memory or enough.

    Up to ``nr_phases`` phases; areas, memory and phases ``scale`` times as big.
    """
    processes = ["one", "two", "three"]
    areas = [
        Area(
            f"area{number}", rnd.choice([16, 100, 256, 513]) * PAGE * scale, rnd.choice([Kind.ANON] * 2 + [Kind.FILE]),
            processes[number % 3], rnd.random() < 0.7, number < 3 or rnd.random() < 0.7, rnd.choice(["", "a", "a/b"]),
        )
        for number in range(rnd.randint(3, 6))
    ]  # fmt: skip
    two = rnd.random() < 0.5
    phases = []
    for number in range(rnd.randint(-(-nr_phases // 4), nr_phases)):
        used = [area for area in areas if rnd.random() < 0.8]
        events = tuple(
            rnd.choice([
                PhaseEvent(Event.MMAP, rnd.choice(areas).name), PhaseEvent(Event.MMAP, rnd.choice(areas).name),
                PhaseEvent(Event.MUNMAP, rnd.choice(areas).name), PhaseEvent(Event.EXIT, rnd.choice(processes)),
            ])
            for _ in range(rnd.randint(0, 2))
        )  # fmt: skip
        plugs = tuple(
            Hotplug(rnd.random() < 0.5, 2 * MIB, rnd.randint(0, two)) for _ in range(rnd.choice([0, 0, 1, 2]))
        )
        phases.append(
            Phase(f"phase{number}", rnd.choice([90_000, 700_000, 3_000_000]) * scale,
                  tuple(_access(rnd, area) for area in used), events if number else (), plugs if number else ())
        )  # fmt: skip
    memory = rnd.choice([6, 8, 16]) * MIB * scale
    swap = rnd.choice([None, Swap(32 * MIB * scale, 20.0, 5.0), Swap(64 * KIB, 20.0, 5.0), Swap(4 * MIB, 5.0, 2.0)])
    nodes = (Node(max(memory // 2 & -2 * MIB, 4 * MIB), 80.0), Node(memory, 250.0)) if two else ()
    machine = MachineSpec(memory, swap=swap, nodes=nodes, thp=rnd.choice(["never", "madvise", "always"]))
    return Workload("random", tuple(areas), tuple(phases), rnd.random() < 0.7, machine)


def _access(rnd: Random, area: Area) -> Access:
    return Access(
        area.name, rnd.choice([20.0, 2e3, 1e5]), rnd.choice(list(Pattern)), rnd.choice([0.0, 0.1, 1.0]),
        rnd.choice([64, 4096, 12288]), rnd.choice([0.5, 1.0, 2.0]),
    )  # fmt: skip


def random_attrs(rnd: Random, slow: int = 1) -> DamonAttrs:
    sample = rnd.choice([1_000, 5_000, 5_000, 10_000, 20_000]) * slow
    samples = rnd.choice([1, 3, 5, 10, 20, 20])
    least = rnd.choice([3, 10, 10, 40])
    goal = DamonIntervalsGoal()
    if rnd.random() < 0.3:
        goal = DamonIntervalsGoal(rnd.choice([0, 400, 5000]), rnd.randint(1, 3), sample // 2, sample * 4)
    return DamonAttrs(
        sample, sample * samples + rnd.choice([0, 0, sample // 2]), sample * samples * rnd.choice([1, 3, 10, 1000]),
        least, least + rnd.choice([0, 7, 90, 400]), goal,
    )  # fmt: skip


def _pattern(rnd: Random) -> DamosAccessPattern:
    low = rnd.choice([0, 0, 0, 1, 3])
    age = rnd.choice([0, 0, 0, 1, 5])
    return DamosAccessPattern(
        rnd.choice([0, 0, 4 * PAGE]), rnd.choice([ULONG_MAX, ULONG_MAX, 64 * PAGE]), low,
        rnd.choice([U32_MAX, low, low + 5]), age, rnd.choice([U32_MAX, U32_MAX, age + 5]),
    )  # fmt: skip


def _goal(rnd: Random, space: str) -> DamosQuotaGoal:
    metrics = list(DamosQuotaGoalMetric)
    if space != "paddr":
        metrics.remove(DamosQuotaGoalMetric.NODE_ELIGIBLE_MEM_BP)
    return DamosQuotaGoal(
        rnd.choice(metrics), rnd.choice([1, 100, 5_000, 10_000]), rnd.choice([0, 3_000, 12_000]), nid=rnd.randint(0, 2),
        memcg_id=rnd.randint(0, 2),
    )  # fmt: skip


def _quota(rnd: Random, space: str) -> DamosQuota:
    quota = DamosQuota(reset_interval=rnd.choice([0, 50, 200, 1000, 1000]))
    if rnd.random() < 0.7:
        quota.sz = rnd.choice([PAGE, 10 * PAGE, 100_000, 2 * MIB])
    if rnd.random() < 0.2:
        quota.ms = rnd.choice([1, 10])
    if rnd.random() < 0.3:
        quota.goals = [_goal(rnd, space) for _ in range(rnd.randint(1, 2))]
    quota.goal_tuner = rnd.choice(list(DamosQuotaGoalTuner))
    if rnd.random() < 0.2:
        quota.fail_charge_num, quota.fail_charge_denom = rnd.choice([(0, 1), (1, 2), (1, 4096)])
    quota.weight_nr_accesses, quota.weight_age = rnd.choice([(0, 0), (1, 1), (0, 1), (5, 1)])
    return quota


def _filter(rnd: Random, span: tuple[int, int], level: Level) -> DamosFilter:
    kind = rnd.choice(of_level(level, DamosFilterType))
    start = rnd.randint(*span)
    low = rnd.choice([0, 0, 20, 500]) if level is Level.NEXT else 0
    return DamosFilter(
        kind, rnd.random() < 0.5, rnd.random() < 0.5, rnd.randint(0, 2), start, rnd.randint(start, span[1]),
        rnd.randint(0, 1), 0, rnd.choice([PAGE, 2 * MIB]), low, low + 1000,
    )  # fmt: skip


def _watermarks(rnd: Random) -> DamosWatermarks:
    if rnd.random() < 0.8:
        return DamosWatermarks()
    low = rnd.choice([0, 100])
    return DamosWatermarks(DamosWmarkMetric.FREE_MEM_RATE, rnd.choice([30_000, 200_000]), 1000, low + 600, low)


def random_scheme(rnd: Random, ctx: DamonCtx, span: tuple[int, int], sample_us: int) -> Damos:
    scheme = Damos(
        _pattern(rnd), rnd.choice(list(DamosAction)), rnd.choice([0, 0, 1, 3, 25]) * sample_us, _quota(rnd, ctx.ops.id),
        _watermarks(rnd), rnd.choice([-1, 0, 1, 7]), max_nr_snapshots=rnd.choice([0, 0, 0, 5]),
    )  # fmt: skip
    if rnd.random() < 0.2:
        scheme.migrate_dests = [DamosMigrateDest(rnd.randint(0, 2), rnd.randint(0, 3)) for _ in range(2)]
    for _ in range(rnd.choice([0, 0, 1, 2])):
        scheme.add_filter(_filter(rnd, span, ctx.level))
    return scheme


def _probes(rnd: Random, attrs: DamonAttrs, level: Level) -> list[DamonProbe]:
    if rnd.random() < 0.8 or attrs.max_nr_accesses() > 255:
        return []
    kinds = of_level(level, DamonFilterType)
    probes = [
        DamonProbe(
            rnd.choice([0, 0, 1, 100]), [DamonFilter(rnd.choice(kinds), rnd.random() < 0.5, True, 1, PAGE, 2 * MIB)]
        )
        for _ in range(rnd.randint(1, 4))
    ]
    if level is Level.NEXT:
        probes[0].preps += [DamonPrep() for _ in range(rnd.randint(0, 2))]
    return probes


def spans(machine: SimulatedMachine, space: str, process: str) -> list[tuple[int, int]]:
    """What a target of that kind is about."""
    if space == "paddr":
        return list(machine.system_ram())
    areas = [machine.state.placed[area.name] for area in machine.workload.areas if area.process == process]
    return sorted((area.start, area.end) for area in areas)


def fill(rnd: Random, ctx: DamonCtx, span: tuple[int, int], slow: int = 1) -> None:
    """Parameters other than targets."""
    set_attrs(ctx, random_attrs(rnd, slow))
    sample = ctx.attrs.sample_interval
    ctx.schemes += [random_scheme(rnd, ctx, span, sample) for _ in range(rnd.choice([0, 1, 1, 2, 3]))]
    ctx.min_region_sz = rnd.choice([PAGE, PAGE, PAGE, 4 * PAGE])
    ctx.probes = _probes(rnd, ctx.attrs, ctx.level)


def _cover(target: DamonTarget, ranges: list[tuple[int, int]]) -> None:
    """Aligned for every ``min_region_sz``; what then overlaps is one region."""
    for start, end in ranges:
        low, high = start & -4 * PAGE, -(-end // (4 * PAGE)) * 4 * PAGE
        if target.regions.nr and low < target.regions[-1].end:
            target.regions[-1].end = high
        else:
            target.regions.append(low, high)


def random_context(rnd: Random, damon: Damon, space: str, slow: int = 1) -> DamonCtx | None:
    """Ready to start; None when no process lives that it could watch."""
    machine = damon.machine
    assert isinstance(machine, SimulatedMachine)
    ctx = damon.new_ctx()
    damon.select_ops(ctx, space)
    living = [name for name in machine.workload.processes if alive(machine, name)]
    if space != "paddr" and not living:
        return None
    names = rnd.sample(living, min(len(living), rnd.randint(1, 2))) if space != "paddr" else [""]
    span = (0, 0)
    for name in names:
        target = DamonTarget(space=None if space == "paddr" else machine.open_process(machine.pids[name]))
        ranges = spans(machine, space, name)
        span = ranges[0][0], ranges[-1][1]
        if space != "vaddr":
            _cover(target, ranges)
        ctx.targets.append(target)
    fill(rnd, ctx, span, slow)
    return ctx


def random_contexts(rnd: Random, damon: Damon) -> list[DamonCtx]:
    """One or two, each for another operations set."""
    drawn = [random_context(rnd, damon, space) for space in rnd.sample(SPACES, rnd.randint(1, 2))]
    return [ctx for ctx in drawn if ctx is not None]


def alive(machine: SimulatedMachine, process: str) -> bool:
    return bool(machine.state.process.rows[machine.workload.processes.index(process)].alive)


def random_commit(rnd: Random, ctx: DamonCtx, slow: int = 1) -> DamonCtx:
    """New parameters for a running context, which are valid; targets stay, and now and then so do the attributes."""
    src = DamonCtx(machine=ctx.machine, ops=ctx.ops, level=ctx.level)
    regions = [target.regions for target in ctx.targets if target.regions.nr]
    span = (regions[0][0].start, regions[0][-1].end) if regions else (0, 0)
    fill(rnd, src, span, slow)
    if rnd.random() < 0.5:
        src.attrs = ctx.attrs.copy()
    if any(probe.weight for probe in src.probes) and src.attrs.max_nr_accesses() > 255:
        src.probes = []
    src.min_region_sz = ctx.min_region_sz if rnd.random() < 0.8 else src.min_region_sz
    src.targets = [DamonTarget(space=target.space) for target in ctx.targets]
    return src


def spoil(rnd: Random, src: DamonCtx) -> None:
    """Make it one that is refused."""
    way = rnd.randint(0, 5)
    if way == 0:
        src.attrs.min_nr_regions = rnd.randint(0, 2)
    elif way == 1:
        src.min_region_sz = rnd.choice([0, 3000, 4097])
    elif way == 2:
        src.schemes.append(Damos(quota=DamosQuota(goals=[DamosQuotaGoal(DamosQuotaGoalMetric.USER_INPUT, 0)])))
    elif way == 3:
        src.attrs.sample_interval = src.attrs.aggr_interval + 1
    elif way == 4:
        src.targets.append(DamonTarget(obsolete=True))
    else:
        src.attrs.intervals_goal = DamonIntervalsGoal(400, 1, 10, 9)
