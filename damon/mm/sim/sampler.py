# SPDX-License-Identifier: GPL-2.0-only
"""Samples of a simulated machine's accesses as hardware takes them (PEBS, IBS, SPE): every n-th, late, some lost."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from itertools import accumulate
from typing import Final

from damon.errors import InvalidInput
from damon.mm.sim.arithmetic import exp, log
from damon.mm.sim.engine import trace_page, trace_touches, trace_write
from damon.mm.sim.layout import SimArea, SimPattern, SimSeg
from damon.mm.sim.machine import SimulatedMachine
from damon.model.arrays import FolioArray
from damon.model.checks import whole
from damon.model.clock import Event, Thread
from damon.model.machine import PAGE_SHIFT, PAGE_SIZE
from damon.model.random import Random
from damon.model.report import DamonAccessReport

#: Resolution of shares.
_PARTS: Final = 1 << 32
#: A page of a scaled trace is found at once with a probability of a half or, for a smaller one, its scale.
_TRIES: Final = 20


def _accesses(row: SimArea, seg: SimSeg, t: int) -> int:
    """Of an area, up to ``t``; from any moment on that only changes with its accesses."""
    if seg.pattern == SimPattern.TRACE:
        return int(trace_touches(row, seg.t0, max(t, seg.t0)))
    return int(seg.base) + int(max(t - seg.t0, 0) * seg.rate)


class AccessSampler:
    """Reports one of each ``period`` accesses of ``machine`` to ``report``, while it runs.

    The order of a sequential or strided pattern is the machine's own. Of random patterns the machine keeps no order:
    the pages are drawn from their distribution, so samples and accessed bits agree in rates and not touch by touch.
    Pages that are not in memory are not reported: their access is a fault first.

    Args:
        machine: sampled; nothing of it changes.
        report: takes each sample, e.g. ``Damon.report_access``.
        period: accesses of an area from one sample to the next; 1: all of them.
        seed: of everything that is drawn here.
        skid: a sample shows an access up to so many accesses later than the one that was due.
        loss: the share of samples that are lost, 0..1.
        drain_us: samples wait in the hardware's buffer up to so long; those of a window come at its end.

    Raises:
        InvalidInput: a number is out of its range.
    """

    def __init__(
        self, machine: SimulatedMachine, report: Callable[[DamonAccessReport], None], *, period: int, seed: int,
        skid: int = 0, loss: float = 0.0, drain_us: int = 1000,
    ) -> None:  # fmt: skip
        if not 0.0 <= loss <= 1.0:
            raise InvalidInput(f"AccessSampler.loss: {loss}: is not a share; give 0.0 to 1.0")
        self._machine, self._report = machine, report
        self._period = whole("AccessSampler.period", period, 1)
        self._skid, self._loss = whole("AccessSampler.skid", skid), int(loss * _PARTS)
        self._drain_us = whole("AccessSampler.drain_us", drain_us, 1)
        self._random = Random(seed)
        self._ahead: dict[str, int] = {}  #: accesses of each area up to its next sample
        self._ranks: dict[tuple[int, float], list[float]] = {}
        self._folio = FolioArray(1)
        self._stop: Event | None = None
        self._thread: Thread | None = None
        self.nr_lost = 0  #: samples so far

    def start(self) -> None:
        """Sample from now on, in a thread of the machine's clock."""
        clock = self._machine.clock
        if self._thread is not None:
            raise InvalidInput("AccessSampler: runs: it cannot be started twice; stop it first")
        self._stop = clock.event()
        self._thread = clock.spawn("sampler", self._run)

    def stop(self) -> None:
        """Report what is left, and wait for the end. Safe to call twice."""
        if self._stop is not None and self._thread is not None:
            self._stop.set()
            self._thread.join()
            self._stop = self._thread = None

    def _run(self) -> None:
        stop, clock = self._stop, self._machine.clock
        assert stop is not None
        since = clock.now_ns()
        while not stop.wait(self._drain_us):
            since = self._drain(since)
        self._drain(since)

    def _drain(self, since: int) -> int:
        """The samples of the window from ``since`` to now, which is returned."""
        now = self._machine.clock.now_ns()
        for name in self._machine.state.placed:
            row = self._machine.row(name)
            if row.mapped:
                self._area(name, row, since, now)
        return now

    def _area(self, name: str, row: SimArea, since: int, now: int) -> None:
        seg: SimSeg = row.seg[row.nr_seg - 1]
        if seg.pattern == SimPattern.NONE:
            return
        first, end = (_accesses(row, seg, t) for t in (since, now))
        at = first + self._ahead.get(name, self._period - 1)
        while at < end:
            if self._share() < self._loss:
                self.nr_lost += 1
            else:
                t = since + (now - since) * (at - first) // (end - first)
                self._sample(row, seg, at + (self._random.rand(0, self._skid + 1) if self._skid else 0), t)
            at += self._period
        self._ahead[name] = at - end

    def _share(self) -> int:
        return self._random.rand(0, _PARTS)

    def _sample(self, row: SimArea, seg: SimSeg, number: int, t: int) -> None:
        """Access ``number`` of the area, about at ``t``, if its page is in memory."""
        offset = self._offset(row, seg, number, t)
        if offset is None:
            return
        vaddr, batch, process = row.start + offset, self._folio, row.process
        writes = trace_write(row, offset // PAGE_SIZE, t) if seg.pattern == SimPattern.TRACE else seg.write
        is_write = self._share() < int(writes * _PARTS)
        self._machine.engine.walk(process, vaddr & -PAGE_SIZE, (vaddr & -PAGE_SIZE) + PAGE_SIZE, batch)
        if not batch.nr:
            return
        folio = batch[0]
        frame = folio.pfn + (vaddr >> PAGE_SHIFT) % folio.nr_pages
        state = self._machine.state
        self._report(
            DamonAccessReport(
                paddr=frame << PAGE_SHIFT | vaddr & (PAGE_SIZE - 1), vaddr=vaddr, size=1,
                cpu=state.process.rows[process].node, tid=self._machine.pids[state.processes[process]],
                is_write=is_write,
            )
        )  # fmt: skip

    def _offset(self, row: SimArea, seg: SimSeg, number: int, t: int) -> int | None:
        """Bytes from the area's start; None: a trace has nothing at that moment."""
        if seg.pattern == SimPattern.TRACE:
            page = -1
            tries = 0
            while page < 0 and tries < _TRIES:  # scaled traces reject some
                page = trace_page(row, t, (self._share() + 1) / _PARTS, (self._share() + 1) / _PARTS)
                tries += 1
            return None if page < 0 else page * PAGE_SIZE
        if seg.pattern == SimPattern.STRIDED:
            return int(number % seg.period * seg.stride)
        if seg.pattern == SimPattern.RANDOM:
            return self._random.rand(0, int(row.nr_pages)) * PAGE_SIZE
        sums = self._sums(row.nr_pages, seg.skew)
        return min(bisect_left(sums, self._share() / _PARTS * sums[-1]), len(sums) - 1) * PAGE_SIZE

    def _sums(self, nr_pages: int, skew: float) -> list[float]:
        """Of the weights r ** -skew of all ranks up to each."""
        key = nr_pages, skew
        if key not in self._ranks:
            self._ranks[key] = list(accumulate(exp(-skew * log(float(rank))) for rank in range(1, nr_pages + 1)))
        return self._ranks[key]
