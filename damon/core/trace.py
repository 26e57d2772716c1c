# SPDX-License-Identifier: GPL-2.0-only
"""The tracepoints of the event group ``damon`` (DAMON spec, sysfs 7), one set for each machine.

The regions of a target come as one event with a copy of their native rows: a subscriber decides what looking at them
costs. Without a subscriber a point costs one look at an empty tuple.
"""

from __future__ import annotations

import ctypes
import struct
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final, cast

from damon.core.events import (
    AGGREGATED,
    BEFORE_APPLY,
    ESZ,
    EVENTS,
    FORMATS,
    INTERVALS_TUNE,
    REGION_AGGREGATED,
    STAT,
)
from damon.core.priority import damon_mvsum, left_window_bp
from damon.errors import InvalidInput
from damon.mm.clock import VirtualClock
from damon.model.arrays import ROW, DamonRegion
from damon.model.attrs import DamonAttrs
from damon.model.clock import Clock
from damon.model.context import DamonCtx
from damon.model.scheme import Damos
from damon.model.target import DamonTarget

_ROWS: Final = struct.Struct("=QQ8xI4xI4s8x")  # start, end, nr_accesses, age, probe_hits
assert _ROWS.size == ROW

FieldValue = int | bytes


@dataclass(frozen=True, slots=True)
class TraceEvent:
    """One event; of regions, one for each region of a target (``rows``).

    ``time_ns`` is the machine's clock, ``comm`` and ``pid`` are the worker's (in virtual time pid and cpu are 0; where
    processes stand for workers, pid is theirs), ``attrs`` those in use at that moment, to which counts and ages refer.
    """

    name: str
    time_ns: int
    comm: str
    pid: int
    cpu: int
    ctx: DamonCtx
    attrs: DamonAttrs
    fields: tuple[int, ...]
    rows: bytes = b""
    nr_probes: int = 0

    @property
    def nr(self) -> int:
        """How many events it is in the kernel."""
        return len(self.rows) // ROW or 1

    def regions(self) -> Iterator[tuple[int, int, int, int, bytes]]:
        """``(start, end, nr_accesses, age, probe_hits)`` of each region; one byte of hits for each of 4 probes."""
        return _ROWS.iter_unpack(self.rows)

    def values(self) -> Iterator[tuple[FieldValue, ...]]:
        """The values of ``FIELDS[name]``, for each of the ``nr`` events."""
        if not self.rows:
            yield self.fields
        elif self.name == AGGREGATED:
            for row in self.regions():
                yield *self.fields, *row[:4]
        else:
            for start, end, nr_accesses, age, hits in self.regions():
                yield *self.fields, start, end, nr_accesses, age, hits[: self.nr_probes]

    def texts(self) -> Iterator[str]:
        """The fields as the kernel prints them."""
        text = FORMATS[self.name].format
        for values in self.values():
            yield text(*(value.hex(" ") if isinstance(value, bytes) else value for value in values))


Callback = Callable[[TraceEvent], None]


class Subscription:
    """What ``Trace.subscribe`` gives; ``close()`` ends it. A callback that raises ends it as well, the error stays."""

    def __init__(self, trace: Trace, callback: Callback, events: Iterable[str]) -> None:
        self.events = tuple(events)
        self.error: Exception | None = None
        self._trace, self._callback = trace, callback

    def deliver(self, event: TraceEvent) -> None:
        try:
            self._callback(event)
        except Exception as error:  # a tracer does the worker no harm
            self.error = error
            self.close()

    def close(self) -> None:
        self._trace.unsubscribe(self)


class Trace:
    """The tracepoints of one machine. Events are delivered in the thread of the worker, one after the other."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._virtual = isinstance(clock, VirtualClock)
        self._lock = threading.Lock()
        #: The events that can come, by name: a kernel tree may lack some.
        self.known: frozenset[str] = frozenset(EVENTS)
        self.pids: dict[DamonCtx, int] = {}  #: of processes that stand for workers
        #: Subscriptions of each event; replaced as a whole.
        self.points: dict[str, tuple[Subscription, ...]] = dict.fromkeys(EVENTS, ())

    def subscribe(self, callback: Callback, events: Iterable[str] = EVENTS) -> Subscription:
        """Call ``callback`` at each of ``events`` (names, with or without ``damon:``) from now on.

        Raises:
            InvalidInput: there is no such event.
        """
        subscription = Subscription(self, callback, map(event_name, events))
        with self._lock:
            for name in set(subscription.events):
                self.points[name] += (subscription,)
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        with self._lock:
            for name in EVENTS:
                self.points[name] = tuple(s for s in self.points[name] if s is not subscription)

    def queue(self, events: Iterable[str] = EVENTS, capacity: int = 1 << 18) -> TraceQueue:
        """Collect ``events`` to be fetched by another thread; ``capacity`` counts the kernel's events."""
        queue = TraceQueue(capacity)
        queue.subscription = self.subscribe(queue.put, events)
        return queue

    def enabled(self, name: str) -> bool:
        """Is there a subscriber?"""
        return bool(self.points[name])

    def emit(self, name: str, ctx: DamonCtx, fields: tuple[int, ...], rows: bytes = b"") -> None:
        pid, cpu = (0, 0) if self._virtual else (threading.get_native_id(), _getcpu())
        pid = self.pids.get(ctx, pid)
        comm = threading.current_thread().name
        nr_probes = len(ctx.probes) if rows else 0
        event = TraceEvent(name, self._clock.now_ns(), comm, pid, cpu, ctx, ctx.attrs, fields, rows, nr_probes)
        for subscription in self.points[name]:
            subscription.deliver(event)


class TraceQueue:
    """Events waiting to be fetched. What does not fit is lost and counted, whole targets at a time.

    A target with more regions than the queue holds is taken while the queue is empty.
    """

    subscription: Subscription

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._events: deque[TraceEvent] = deque()
        self._nr = 0
        self._changed = threading.Condition()
        self._closed = False
        self.lost = 0  #: events, since the start

    def put(self, event: TraceEvent) -> None:
        with self._changed:
            if self._nr and self._nr + event.nr > self._capacity:
                self.lost += event.nr
                return
            self._nr += event.nr
            self._events.append(event)
            self._changed.notify()

    def drain(self, timeout: float | None = 0) -> list[TraceEvent]:
        """All that has come; wait up to ``timeout`` real seconds for the first (None: until ``close``)."""
        with self._changed:
            if timeout != 0:
                self._changed.wait_for(lambda: self._events or self._closed, timeout)
            events = list(self._events)
            self._events.clear()
            self._nr = 0
        return events

    @property
    def closed(self) -> bool:
        return self._closed

    def close(self) -> None:
        """No more events; those that came can still be fetched. Ends a wait."""
        self.subscription.close()
        with self._changed:
            self._closed = True
            self._changed.notify_all()


def event_name(name: str) -> str:
    """``name`` without its group; EINVAL when there is no such event."""
    short = name.removeprefix("damon:")
    if short not in FORMATS:
        raise InvalidInput(f"event: {name!r}: is unknown; give one of {', '.join(EVENTS)}")
    return short


def _listening(ctx: DamonCtx, name: str) -> Trace | None:
    trace = cast("Trace | None", ctx.trace)
    return trace if trace is not None and trace.enabled(name) else None


def _getcpu() -> int:
    return max(int(_libc.sched_getcpu()), 0)


_libc = ctypes.CDLL(None)


def trace_aggregated(ctx: DamonCtx) -> None:
    """Before counters are reset: all regions of each target; with probes also what they hit."""
    for name in (AGGREGATED, REGION_AGGREGATED) if ctx.probes else (AGGREGATED,):
        trace = _listening(ctx, name)
        if trace is None:
            continue
        for index, target in enumerate(ctx.targets):
            if target.regions.nr:
                trace.emit(name, ctx, (index, target.regions.nr), target.regions.snapshot())


def scheme_position(ctx: DamonCtx, scheme: Damos) -> int:
    """Of ``scheme`` in its context. Looked for only when the schemes have changed: there may be thousands."""
    schemes = ctx.schemes
    if scheme.position >= len(schemes) or schemes[scheme.position] is not scheme:
        for index, other in enumerate(schemes):
            other.position = index
    return scheme.position


def trace_before_apply(ctx: DamonCtx, target: DamonTarget, region: DamonRegion, scheme: Damos) -> None:
    """Right before the operations set acts on ``region``, after quota cut and core filters.

    Happens once for each region: ask ``ctx.trace.points`` first.
    """
    trace = _listening(ctx, BEFORE_APPLY)
    if trace is not None:
        rate = damon_mvsum(region, left_window_bp(ctx))
        where = scheme_position(ctx, scheme), ctx.targets.index(target), target.regions.nr
        trace.emit(BEFORE_APPLY, ctx, (0, *where, region.start, region.end, rate, region.age))


def damos_trace_esz(ctx: DamonCtx, scheme: Damos) -> None:
    """The effective quota was computed for the first time, or has changed."""
    trace = _listening(ctx, ESZ)
    if trace is not None:
        trace.emit(ESZ, ctx, (0, scheme_position(ctx, scheme), scheme.quota.esz))


def trace_intervals_tune(ctx: DamonCtx, sample_us: int) -> None:
    """Tuning decided on a change, which is about to be applied."""
    trace = _listening(ctx, INTERVALS_TUNE)
    if trace is not None:
        trace.emit(INTERVALS_TUNE, ctx, (sample_us,))


def damos_trace_stat(ctx: DamonCtx, scheme: Damos) -> None:
    """A due scheme's statistics after a pass."""
    trace = _listening(ctx, STAT)
    if trace is not None:
        stat = replace(scheme.stat)
        sizes = stat.nr_tried, stat.sz_tried, stat.nr_applied, stat.sz_applied, stat.sz_ops_filter_passed
        trace.emit(STAT, ctx, (0, scheme_position(ctx, scheme), *sizes, stat.qt_exceeds, stat.nr_snapshots))
