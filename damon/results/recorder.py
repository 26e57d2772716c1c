# SPDX-License-Identifier: GPL-2.0-only
"""Fills the tables of results while contexts run: at each aggregation, or once in each interval of the machine's time.

The machine's counters come with the results of the first context that is watched, and when ``sample()`` is called.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, runtime_checkable

from damon.core import Damon
from damon.core.events import BEFORE_APPLY
from damon.core.results import ACT, HEAD, SCHEME, Head, Result, ResultsLog, split
from damon.core.trace import TraceEvent, event_name
from damon.mm.clock import VirtualClock
from damon.model.context import DamonCallControl, DamonCtx
from damon.results.counters import MachineCounters, Placing
from damon.results.funnel import Funnel
from damon.results.regions import Snapshots
from damon.results.sink import RowWriter, Sink
from damon.results.tables import Columns

#: On a machine in real time: for how long rows wait to be written at most, and the least interval between them.
FRESH_NS: Final = 1_000_000_000
#: Columns of the table ``contexts`` and their words.
_CONTEXT: Final = {
    "sample_us": Head.SAMPLE_US, "aggr_us": Head.AGGR_US, "nr_regions": Head.NR_REGIONS,
    "accessed_bytes": Head.ACCESSED,
}  # fmt: skip


@runtime_checkable
class Refreshing(Protocol):
    """An engine whose contexts are brought up to date on request."""

    def refresh(self, ctx: DamonCtx) -> None: ...


@dataclass
class _Watched:
    """A context and what is remembered of it from result to result."""

    number: int
    ctx: DamonCtx
    log: ResultsLog
    first: bool  #: the machine's counters come with its results
    controls: list[DamonCallControl] = field(default_factory=list)
    funnel: Funnel | None = None
    snapshots: Snapshots = field(default_factory=Snapshots)
    funnel_ns: int = 0  #: the time of the next row of the funnel
    goals: dict[tuple[int, int], tuple[int, int]] = field(default_factory=dict)
    acting: tuple[dict[str, int], int] | None = None  #: an action, and what its scheme had applied before


class ResultsRecorder:
    """Records the results of contexts from ``watch()`` on until ``finish()``.

    Args:
        damon: whose contexts run.
        sink: where rows go; it is closed by ``finish()``.
        counters: of its machine; None: its tables stay empty.
        every_ns: of the machine's clock: rows once in each such interval; 0: at each aggregation.
        regions: record the regions of each aggregation, and the ranges that schemes act on, too.
        events: names of tracepoints to record.
        why: record how far eligible bytes get in each scheme (table ``funnel``).
    """

    def __init__(
        self,
        damon: Damon,
        sink: Sink,
        counters: MachineCounters | None,
        *,
        every_ns: int = 0,
        regions: bool = False,
        events: Sequence[str] = (),
        why: bool = False,
    ) -> None:
        self._damon, self._rows, self._counters = damon, RowWriter(sink), counters
        self._every_ns, self._regions, self._why = every_ns, regions, why
        self._traced = frozenset(map(event_name, events))
        self._fresh_ns = 0 if isinstance(damon.machine.clock, VirtualClock) else FRESH_NS
        self._watched: dict[DamonCtx, _Watched] = {}
        #: The machine's time from which those of rows count.
        self.epoch_ns = damon.machine.clock.now_ns()
        self._next_ns = 0
        #: The core's engine keeps what schemes do with the results; of others it is known by their trace events.
        self._own = type(damon) is Damon
        wanted = {*self._traced, *((BEFORE_APPLY,) if (regions and not self._own) or why else ())}
        self._subscription = damon.trace.subscribe(self._take_event, wanted) if wanted else None

    @property
    def error(self) -> OSError | None:
        """Why nothing more is recorded."""
        return self._rows.error

    @property
    def contexts(self) -> Sequence[DamonCtx]:
        """Those that are watched, by their numbers."""
        return list(self._watched)

    @property
    def strides(self) -> Mapping[int, int]:
        """By context: every so many snapshots one is kept by now."""
        return {watched.number: watched.snapshots.stride for watched in self._watched.values()}

    def watch(self, ctx: DamonCtx) -> None:
        """Record the results of ``ctx`` from now on; nothing if it is watched."""
        if ctx in self._watched:
            return
        first = not self._watched
        counters = self._counters if first else None

        def also(ctx: DamonCtx, now: int) -> None:
            if counters is not None:
                counters.refresh()
            self._take_goals(watched, now)

        log = ResultsLog(
            lambda words: self._take(watched, words), counters.words if counters else (), every_ns=self._every_ns,
            regions=self._regions, fresh_ns=self._fresh_ns, also=also,
            acts=(lambda words: self._take_acts(watched, words)) if self._regions and self._own else None,
        )  # fmt: skip
        watched = _Watched(len(self._watched), ctx, log, first)
        self._watched[ctx] = watched
        if self._why:
            watched.funnel = Funnel(ctx, lambda row: self._append_row("funnel", watched, row), self.epoch_ns)
            self._ask(watched, lambda ctx: self._look(watched))
        if self._own:
            ctx.results = log
        else:
            self._ask(watched, log.keep)

    def _ask(self, watched: _Watched, function: Callable[[DamonCtx], None]) -> None:
        """Have ``function`` called at each result, if the context runs."""
        if self._damon.is_running(watched.ctx):
            watched.controls.append(DamonCallControl(function, repeat=True, results_only=True))
            self._damon.call(watched.ctx, watched.controls[-1])

    def _look(self, watched: _Watched) -> None:
        """Of the funnel: at the end of an aggregation, before schemes act; or while the worker waits."""
        ctx, now = watched.ctx, self._damon.machine.clock.now_ns()
        waits = not any(scheme.wmarks.activated for scheme in ctx.schemes)
        ended = waits or ctx.passed_sample_intervals >= ctx.next_aggregation_sis
        if watched.funnel is not None and ended and now >= watched.funnel_ns:
            watched.funnel_ns = (now // self._every_ns + 1) * self._every_ns if self._every_ns else 0
            watched.funnel.look()

    def sample(self) -> None:
        """Record what there is now; on a simulated machine, from a thread that lets its time pass."""
        for watched in self._watched.values():
            if isinstance(self._damon, Refreshing):
                self._damon.refresh(watched.ctx)
            if self._damon.is_running(watched.ctx):
                watched.log.keep(watched.ctx, force=True)
            if watched.funnel is not None:
                watched.funnel.finish()
        if not self._watched and self._counters is not None:
            self._counters.refresh()
            self._rows.append_all(self._counters.tables([self._now()], self._counters.read()))

    def tick(self) -> None:
        """Let some time have passed: where no context is watched, record the machine once in each interval."""
        now = self._now()
        if not self._watched and now >= self._next_ns:
            self._next_ns = now + (self._every_ns or FRESH_NS)
            self.sample()
            self._rows.flush()

    def place(self) -> None:
        """Record where areas are in physical memory now, if regions are recorded and the machine knows."""
        if self._regions and isinstance(self._counters, Placing):
            self._rows.append("placement", self._counters.placement(self._now()))

    def flush(self) -> None:
        """Record all that waits; on a simulated machine, while no worker runs."""
        for watched in self._watched.values():
            watched.log.flush()

    def finish(self) -> None:
        """Record the rest and close the sink; the workers have ended, or wait.

        Raises:
            OSError: something could not be written; what was written before is kept.
        """
        try:
            self.flush()
            for watched in self._watched.values():
                watched.ctx.results = None
                for control in watched.controls:
                    control.repeat = False
                self._end_action(watched)
        finally:
            if self._subscription is not None:
                self._subscription.close()
            self._rows.close()
        if self.error is not None:
            raise self.error

    def _now(self) -> int:
        return self._damon.machine.clock.now_ns() - self.epoch_ns

    # -- rows

    def _append_row(self, table: str, watched: _Watched, row: Mapping[str, int | str | None]) -> None:
        columns: dict[str, Any] = {"context": [watched.number], **{name: [value] for name, value in row.items()}}
        self._rows.append(table, columns)

    def _take(self, watched: _Watched, words: array[int]) -> None:
        length = words[0]
        uniform = not self._regions and words[Head.NR_SCHEMES] == 1
        if uniform and words[0::length] == array("Q", [length]) * (len(words) // length):
            self._take_series(watched, words, length)
        else:
            self._take_each(watched, words)
        if self._fresh_ns:
            self._rows.flush()

    def _take_series(self, watched: _Watched, words: array[int], length: int) -> None:
        """Results of the same form without regions: a column is every ``length``-th word."""
        times = array("Q", [time_ns - self.epoch_ns for time_ns in words[Head.TIME :: length]])
        nr = len(times)
        number = array("Q", [watched.number]) * nr
        if watched.first and self._counters is not None:
            beside = words[length - self._counters.nr :]
            self._rows.append_all(self._counters.tables(times, beside, length))
        contexts = {name: words[at::length] for name, at in _CONTEXT.items()}
        self._rows.append("contexts", {"time_ns": times, "context": number, **contexts})
        schemes = {name: words[HEAD + at :: length] for at, name in enumerate(SCHEME)}
        self._rows.append(
            "schemes", {"time_ns": times, "context": number, "scheme": array("Q", bytes(8 * nr)), **schemes}
        )

    def _take_each(self, watched: _Watched, words: array[int]) -> None:
        results = list(split(words))
        times = [result.head[Head.TIME] - self.epoch_ns for result in results]
        if watched.first and self._counters is not None:
            beside = array("Q")
            for result in results:
                beside.extend(result.beside)
            self._rows.append_all(self._counters.tables(times, beside))
        contexts = {name: [result.head[at] for result in results] for name, at in _CONTEXT.items()}
        self._rows.append("contexts", {"time_ns": times, "context": [watched.number] * len(times), **contexts})
        self._rows.append("schemes", _schemes(watched.number, times, results))
        if self._regions:
            self._take_regions(watched, times, results)

    def _take_regions(self, watched: _Watched, times: Sequence[int], results: Sequence[Result]) -> None:
        heads, rows = watched.snapshots.encode(times, [result.regions for result in results])
        contexts = [watched.number] * len(heads["time_ns"])
        # Rows of other contexts must not come between the two.
        self._rows.append_all({"snapshots": {**heads, "context": contexts}, "regions": rows})

    def _take_goals(self, watched: _Watched, now: int) -> None:
        """The goals that have changed since they were looked at last."""
        for number, scheme in enumerate(watched.ctx.schemes):
            for index, goal in enumerate(scheme.quota.goals):
                values = goal.current_value, goal.target_value
                if watched.goals.get((number, index)) != values:
                    watched.goals[number, index] = values
                    row = now - self.epoch_ns, watched.number, number, index, *values
                    names = ("time_ns", "context", "scheme", "goal", "current_value", "target_value")
                    self._rows.append("goals", {name: [value] for name, value in zip(names, row, strict=True)})

    # -- actions and events

    def _take_acts(self, watched: _Watched, words: array[int]) -> None:
        columns: dict[str, Any] = {name: words[at :: len(ACT)] for at, name in enumerate(ACT)}
        columns["time_ns"] = array("Q", [time_ns - self.epoch_ns for time_ns in columns["time_ns"]])
        self._rows.append("actions", {**columns, "context": array("Q", [watched.number]) * len(columns["scheme"])})

    def _take_event(self, event: TraceEvent) -> None:
        watched = self._watched.get(event.ctx)
        if watched is None:
            return
        if event.name in self._traced:
            texts = list(event.texts())
            self._rows.append("events", {
                "time_ns": [event.time_ns - self.epoch_ns] * len(texts), "context": [watched.number] * len(texts),
                "event": [event.name] * len(texts), "fields": texts,
            })  # fmt: skip
        if watched.funnel is not None and event.name == BEFORE_APPLY:
            watched.funnel.take(event)
        if self._regions and not self._own and event.name == BEFORE_APPLY:
            self._end_action(watched)
            _, scheme, target, _, start, end, *_ = event.fields
            action = {
                "time_ns": event.time_ns - self.epoch_ns, "context": watched.number, "scheme": scheme,
                "target": target, "start": start, "end": end,
            }  # fmt: skip
            watched.acting = action, event.ctx.schemes[scheme].stat.sz_applied

    def _end_action(self, watched: _Watched) -> None:
        """The last action is over: its scheme's statistics tell what it has applied to."""
        if watched.acting is None:
            return
        action, before = watched.acting
        watched.acting = None
        schemes = watched.ctx.schemes
        if action["scheme"] < len(schemes):
            applied = schemes[action["scheme"]].stat.sz_applied - before
            self._rows.append(
                "actions", {name: [value] for name, value in {**action, "applied_bytes": applied}.items()}
            )


def _schemes(context: int, times: Sequence[int], results: Sequence[Result]) -> Columns:
    columns: dict[str, list[int]] = {name: [] for name in ("time_ns", "context", "scheme", *SCHEME)}
    lists = list(columns.values())
    for time_ns, result in zip(times, results, strict=True):
        for number, words in enumerate(result.schemes):
            for values, value in zip(lists, (time_ns, context, number, *words), strict=True):
                values.append(value)
    return columns
