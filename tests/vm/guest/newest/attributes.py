# SPDX-License-Identifier: GPL-2.0-only
"""Probes of the level ``next``: idle flags, preparations, sizes of folios, and schemes that go by what they weigh."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from damon.model.arrays import RegionArray
from damon.model.context import DamonCtx
from damon.model.probe import DamonFilter, DamonFilterType, DamonPrep, DamonProbe
from damon.model.scheme import DamosAccessPattern, DamosAction, DamosFilter, DamosFilterType
from damon.model.target import DamonTarget
from damon.ops.paddr import Paddr
from tests.vm.guest import kernel_damon
from tests.vm.guest.kernel_damon import put
from tests.vm.guest.linux_mm.filters import FILE
from tests.vm.guest.linux_mm.probing import probe
from tests.vm.guest.linux_mm.stage import PAGE, Victim, filled, machine, settle, victim
from tests.vm.guest.newest.stage import check, memory_of, within
from tests.vm.guest.workers.stage import here, on_memory, scheme, until

UNSET, SET, SIZE = DamonFilterType.PGIDLE_UNSET, DamonFilterType.PGIDLE_SET, DamonFilterType.HUGEPAGE_SIZE
SAMPLES: Final = 10
#: Of the samples of what is in use all the time; of what is not, the rest at most.
MOST: Final = 0.9


def only(kind: DamonFilterType, **values: int) -> DamonFilter:
    """What hits passes, all else does not."""
    return DamonFilter(kind, matching=True, allow=True, **values)


@check
def pgidle_agrees_with_what_was_touched() -> dict[str, Any]:
    """Every page after a preparation, while half of them are touched; before it, all count as accessed."""
    with victim(8) as other, machine() as ours:
        filled(other)
        frames = other.frames()
        assert len(frames) == other.pages
        before = probe(ours, frames, only(UNSET))
        order = {frame: page for page, frame in enumerate(frames)}
        probes = [DamonProbe(1, [only(UNSET)], [DamonPrep()]), DamonProbe(1, [only(SET)])]
        ctx = DamonCtx(machine=ours, ops=Paddr(), probes=probes)
        regions = RegionArray((frame * PAGE, (frame + 1) * PAGE) for frame in sorted(frames))
        ctx.targets.append(DamonTarget(regions=regions))
        ctx.ops.prep_probes(ctx, True)
        other.tell(f"touch 0 {other.pages} 2")
        ctx.ops.apply_probes(ctx, False, True)
        seen = [(order[row.start // PAGE] % 2 == 0, row.probe_hits[0], row.probe_hits[1]) for row in regions]
    wrong = sum((unset, idle) != ((1, 0) if touched else (0, 1)) for touched, unset, idle in seen)
    assert sum(before) >= 0.99 * len(before), sum(before)
    assert wrong <= 4, wrong
    return {"pages": len(seen), "wrong": wrong}


@check
def sizes_tell_huge_pages_apart() -> dict[str, Any]:
    with victim(4) as huge, victim(4) as small, machine() as ours:
        huge.tell("collapse")
        settle(huge)
        filled(small)
        ranges = {"huge": (2 << 20, 2 << 20), "small": (PAGE, PAGE), "between": (2 * PAGE, (2 << 20) - 1)}
        seen = {
            name: [
                sum(found) / len(found)
                for found in (probe(ours, o.frames(), only(SIZE, range_min=low, range_max=high)) for o in (huge, small))
            ]
            for name, (low, high) in ranges.items()
        }
    assert seen["huge"][0] > 0.99, seen
    assert seen["huge"][1] < 0.01, seen
    assert seen["small"][0] < 0.01, seen
    assert seen["small"][1] > 0.99, seen
    assert max(seen["between"]) < 0.01, seen
    return seen


@check
def accesses_are_monitored_as_an_attribute() -> dict[str, Any]:
    """Access checks are off; the hits of an idle flag that is prepared say what is in use."""
    with victim(8) as hot, victim(8) as cold, machine() as ours:
        filled(hot, cold)
        spans = {"hot": memory_of(hot), "cold": memory_of(cold)}
        hot.tell(f"keep 0 {hot.pages} 1")
        wanted = DamonProbe(1, [only(UNSET)], [DamonPrep()])
        with on_memory(ours, memory_of(hot, cold), probes=[wanted], level="next") as worker:

            def shares() -> dict[str, float]:
                rows = [(row.start, row.end, row.last_probe_hits[0]) for row in worker.ctx.targets[0].regions]
                return {
                    name: sum(within(own, start, end) * hits for start, end, hits in rows)
                    / (SAMPLES * sum(high - low for low, high in own))
                    for name, own in spans.items()
                }

            def told_apart() -> bool:
                seen.append(shares())
                return seen[-1]["hot"] >= MOST and seen[-1]["cold"] <= 1 - MOST

            seen: list[dict[str, float]] = []
            until("hits tell hot from cold memory", told_apart)
            assert not any(row.nr_accesses or row.last_nr_accesses for row in worker.ctx.targets[0].regions)
    return seen[-1]


@check
def a_scheme_goes_by_what_attributes_weigh() -> dict[str, Any]:
    """Anonymous memory that is idle leaves: neither what is in use, nor a file, idle as it is."""
    with victim(8) as cold, victim(8) as hot, victim(8, FILE) as file, machine() as ours:
        filled(cold, hot, file)
        hot.tell(f"keep 0 {hot.pages} 1")
        idle = DamonProbe(1, [DamonFilter(DamonFilterType.ANON, False, False), only(SET)], [DamonPrep()])
        out = scheme(
            DamosAction.PAGEOUT,
            DamosFilter(DamosFilterType.PROBE_HITS_WSUM, True, True, range_min=SAMPLES - 1, range_max=SAMPLES),
        )
        out.pattern = DamosAccessPattern(min_age_region=5)
        with on_memory(ours, memory_of(cold, hot, file), out, probes=[idle], level="next") as worker:
            until("what is anonymous and idle leaves", lambda: here(cold) <= cold.pages // 20)
            worker.aggregations(5)
            left = {name: here(other) / other.pages for name, other in (("hot", hot), ("file", file))}
    assert min(left.values()) >= 0.95, left
    return left


@contextmanager
def damond(level: str) -> Iterator[Path]:
    """A damond on this machine's memory; its kdamonds' directory."""
    mount, log = Path(f"/tmp/damond-{level}"), Path(f"/tmp/damond-{level}.log")
    words = [sys.executable, "-m", "damon.cli.damond", "--linux", "--level", level, "--mount", str(mount)]
    with log.open("w") as file:
        process = subprocess.Popen(words, stdout=file, stderr=subprocess.STDOUT)
    try:
        until("damond has its files", lambda: "mounted at" in log.read_text() or process.poll() is not None)
        assert process.poll() is None, log.read_text()
        yield mount / "kernel/mm/damon/admin/kdamonds"
    finally:
        process.terminate()
        process.wait()


def _stage_probe(context: Path) -> None:
    """One probe: accessed since it was made idle."""
    place = context / "monitoring_attrs/probes"
    put(place / "nr_probes", 1)
    put(place / "0/weight", 1)
    put(place / "0/preps/nr_preps", 1)
    put(place / "0/preps/0/prep_action", "set_pgidle")
    put(place / "0/filters/nr_filters", 1)
    for name, value in (("type", "pgidle_unset"), ("matching", "Y"), ("allow", "Y")):
        put(place / f"0/filters/0/{name}", value)


def _hits(context: Path, hot: Victim) -> tuple[float, float]:
    """Mean hits of tried regions in a process's memory, and in all else."""
    put(context.parents[1] / "state", "update_schemes_tried_regions")
    spans, found = memory_of(hot), ([0, 0], [0, 0])
    for path in (context / "schemes/0/tried_regions").iterdir():
        with suppress(NotADirectoryError, FileNotFoundError):
            start, end = (int((path / name).read_text()) for name in ("start", "end"))
            hits = int((path / "probes/0/hits").read_text())
            inside = within(spans, start, end)
            for sums, size in zip(found, (inside, end - start - inside), strict=True):
                sums[0] += size * hits
                sums[1] += size
    inside_hits, outside_hits = (sums / max(size, 1) for sums, size in found)
    return inside_hits, outside_hits


@check
def files_of_the_level_next() -> dict[str, Any]:
    """damond's files take the probe, and show its hits on real memory; at 7.3 they are not there."""
    with damond("7.3") as kdamonds:
        context = kernel_damon.stage("paddr", kdamonds=kdamonds)
        put(context / "monitoring_attrs/probes/nr_probes", 1)
        assert (context / "monitoring_attrs/probes/0/weight").exists()
        assert not (context / "monitoring_attrs/probes/0/preps").exists()
    with victim(8) as hot, victim(8) as cold, damond("next") as kdamonds:
        filled(hot, cold)
        hot.tell(f"keep 0 {hot.pages} 1")
        context = kernel_damon.stage("paddr", regions=tuple(memory_of(hot, cold)), kdamonds=kdamonds)
        put(context / "monitoring_attrs/intervals/sample_us", 10000)
        put(context / "monitoring_attrs/intervals/aggr_us", 10000 * SAMPLES)
        _stage_probe(context)
        put(context / "schemes/nr_schemes", 1)
        put(context / "schemes/0/action", "stat")
        for name in ("sz", "nr_accesses", "age"):
            put(context / f"schemes/0/access_pattern/{name}/max", 2**32 - 1)
        seen: list[tuple[float, float]] = []

        def told_apart() -> bool:
            seen.append(_hits(context, hot))
            return seen[-1][0] >= MOST * SAMPLES and seen[-1][1] <= (1 - MOST) * SAMPLES

        with kernel_damon.running(kdamonds):
            until("hits of tried regions tell hot from cold", told_apart)
    return {"hits": seen[-1]}
