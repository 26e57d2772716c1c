# SPDX-License-Identifier: GPL-2.0-only
"""``Damon.report_access()``: a source in the guest pushes real accesses, and contexts find the hot memory by them.

The source is read-write protection, of Linux 7.3: every page that it saw accessed in a spell is a report, with both
addresses. Of what it sees the contexts know nothing else: they ask no accessed bit.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from damon.core import Damon
from damon.library import add_process, running
from damon.mm.linux import LinuxMachine
from damon.model.arrays import RegionArray
from damon.model.attrs import DamonAttrs
from damon.model.context import DamonCtx
from damon.model.report import DamonAccessReport, DamonSampleFilter, DamonSampleFilterType
from damon.model.target import DamonTarget
from damon.ops.reported import ReportedPaddr, ReportedVaddr
from tests.vm.guest.linux_mm.stage import PAGE, Victim, filled, victim
from tests.vm.guest.newest.stage import check, runs, within
from tests.vm.guest.pages import PFN_MASK, PRESENT
from tests.vm.guest.workers.stage import until

#: Pages of the area of 8 MiB that are in use: few, as each report costs an emulated processor time.
HOT: Final = (512, 768)
SPELL_S: Final = 0.05
SAMPLE_US, SAMPLES = 200_000, 5


class Source(threading.Thread):
    """Reports what was accessed of a process's area, once a spell."""

    def __init__(self, other: Victim, damon: Damon, machine: LinuxMachine) -> None:
        super().__init__()
        self._other, self._damon, self._space = other, damon, machine.open_process(other.pid)
        self._ended = threading.Event()
        self.nr = 0

    def run(self) -> None:
        start, end = self._other.base, self._other.base + self._other.pages * PAGE
        entries = self._other.entries()
        while not self._ended.is_set():
            self._space.protect([(start, end)])
            self._ended.wait(SPELL_S)
            for low, high in self._space.accessed(start, end):
                for at in range(low, high, PAGE):
                    paddr = (entries[(at - start) // PAGE] & PFN_MASK) * PAGE
                    self._damon.report_access(DamonAccessReport(paddr, at, PAGE, tid=self._other.pid))
                    self.nr += 1

    def end(self) -> None:
        self._ended.set()
        self.join()
        self._space.close()


@contextmanager
def reported(other: Victim) -> Iterator[tuple[Damon, Source]]:
    """An engine and the source that reports to it."""
    with LinuxMachine(access="rwp") as machine:
        damon = Damon(machine, seed=1)
        source = Source(other, damon, machine)
        source.start()
        try:
            yield damon, source
        finally:
            source.end()


def _context(damon: Damon, ops: ReportedPaddr | ReportedVaddr, other: Victim) -> DamonCtx:
    damon.register_ops(ops)
    ctx = damon.new_ctx()
    damon.select_ops(ctx, ops.id)
    ctx.attrs = DamonAttrs(SAMPLE_US, SAMPLES * SAMPLE_US, min_nr_regions=10, max_nr_regions=400)
    if isinstance(ops, ReportedPaddr):
        frames = [entry & PFN_MASK for entry in other.entries()]
        parts = frames[: HOT[0]] + frames[HOT[1] :], frames[slice(*HOT)]
        ctx.targets.append(DamonTarget(regions=RegionArray(sorted(span for part in parts for span in runs(part)))))
    else:
        add_process(ctx, other.pid, [(other.base, other.base + other.pages * PAGE)])
    return ctx


def _shares(ctx: DamonCtx, hot: list[tuple[int, int]]) -> tuple[float, float]:
    """The mean share of samples with an access: of the hot memory, and of the rest."""
    sums = [[0, 0], [0, 0]]
    for row in ctx.targets[0].regions:
        inside = within(hot, row.start, row.end)
        for one, size in zip(sums, (inside, row.size - inside), strict=True):
            one[0] += size * row.last_nr_accesses
            one[1] += size * SAMPLES
    found, rest = (seen / max(most, 1) for seen, most in sums)
    return found, rest


def _found(who: type[ReportedPaddr] | type[ReportedVaddr], *filters: DamonSampleFilter) -> list[tuple[float, float]]:
    """What the regions say of hot memory and of the rest, until they tell them apart."""
    seen: list[tuple[float, float]] = []
    with victim(8) as other:
        filled(other)
        other.tell(f"keep {HOT[0]} {HOT[1]} 1")
        with reported(other) as (damon, source):
            ctx = _context(damon, who(damon.reports, filters), other)
            if who is ReportedVaddr:
                hot = [(other.base + HOT[0] * PAGE, other.base + HOT[1] * PAGE)]
            else:
                hot = runs(entry & PFN_MASK for entry in other.entries()[slice(*HOT)] if entry & PRESENT)

            def told_apart() -> bool:
                seen.append(_shares(ctx, hot))
                enough = source.nr > 20 * (HOT[1] - HOT[0])
                return enough if filters else seen[-1][0] >= 0.9 and seen[-1][1] <= 0.05

            with running(damon, ctx):
                until("regions tell reported memory apart", told_apart)
    return seen


@check
def reports_of_virtual_addresses() -> dict[str, Any]:
    return {"hot_and_rest": _found(ReportedVaddr)[-1]}


@check
def reports_of_physical_addresses() -> dict[str, Any]:
    return {"hot_and_rest": _found(ReportedPaddr)[-1]}


@check
def reports_that_a_filter_leaves_out() -> dict[str, Any]:
    """Only writes count, and no report is one."""
    seen = _found(ReportedVaddr, DamonSampleFilter(DamonSampleFilterType.WRITE, matching=True, allow=True))
    assert set(seen) == {(0.0, 0.0)}, seen[-1]
    return {"looks": len(seen)}
