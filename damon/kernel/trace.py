# SPDX-License-Identifier: GPL-2.0-only
"""The tree's own trace events, from its ``TRACE_EVENT()``s, as events of ``damon.core.trace``.

The C prints an event as the kernel does. Of the events of this project the text is parsed back; regions, which
the kernel reports one by one, are gathered until their target is whole. Others go on as they are.
"""

from __future__ import annotations

import re
import struct
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from damon.core.events import AGGREGATED, BEFORE_APPLY, EVENTS, FORMATS, REGION_AGGREGATED
from damon.core.trace import Callback, Subscription, Trace, TraceEvent
from damon.kernel.library import Library
from damon.model.clock import Clock
from damon.model.context import DamonCtx

_NUMBER: Final = re.compile(r"=(-?\d+)")
_REGION: Final = re.compile(r"(\d+)-(\d+): (\d+) (\d+)")
_ROW: Final = struct.Struct("=QQ8xI4xI4s8x")


@dataclass(frozen=True, slots=True)
class RawEvent(TraceEvent):
    """An event that only this tree has: its text is what the kernel prints."""

    text: str = ""

    def texts(self) -> Iterator[str]:
        yield self.text


class KernelTrace(Trace):
    """Tracepoints of one library."""

    def __init__(self, clock: Clock, lib: Library) -> None:
        super().__init__(clock)
        self._lib = lib
        self._here = threading.local()
        self._numbers: dict[str, int] = {}
        self._rows: dict[tuple[DamonCtx, str], list[bytes]] = {}
        index = 0
        while (name := lib.shim_event_name(index)) is not None:
            self._numbers[name.decode()] = index
            index += 1
        self.known = frozenset(self._numbers)
        for name in self._numbers:
            self.points.setdefault(name, ())

    def enter(self, ctx: DamonCtx) -> None:
        """This thread works for ``ctx``."""
        self._here.ctx = ctx

    def subscribe(self, callback: Callback, events: Iterable[str] = EVENTS) -> Subscription:
        subscription = super().subscribe(callback, events)
        self._enable()
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        super().unsubscribe(subscription)
        self._enable()

    def _enable(self) -> None:
        for name, number in self._numbers.items():
            self._lib.shim_event_enable(number, int(bool(self.points[name])))

    def received(self, event: bytes, text: bytes) -> None:
        """The C prints ``event``."""
        name, line, ctx = event.decode(), text.decode(errors="replace"), getattr(self._here, "ctx", None)
        if ctx is None:
            return
        if name in (AGGREGATED, REGION_AGGREGATED):
            self._region(name, line, ctx)
            return
        if name not in FORMATS:
            self.emit_raw(name, line, ctx)
            return
        values = tuple(int(value) for value in _NUMBER.findall(line))
        if name == BEFORE_APPLY and (found := _REGION.search(line)):
            values += tuple(map(int, found.groups()))
        self.emit(name, ctx, values)

    def _region(self, name: str, line: str, ctx: DamonCtx) -> None:
        target, nr = (int(value) for value in _NUMBER.findall(line)[:2])
        found = _REGION.search(line)
        if found is None:
            return
        hits = bytes.fromhex(line.partition("probe_hits=")[2]).ljust(4, b"\0")
        rows = self._rows.setdefault((ctx, name), [])
        rows.append(_ROW.pack(*map(int, found.groups()), hits))
        if len(rows) >= nr:
            del self._rows[ctx, name]
            self.emit(name, ctx, (target, nr), b"".join(rows))

    def emit_raw(self, name: str, line: str, ctx: DamonCtx) -> None:
        event = RawEvent(name, self._clock.now_ns(), "", 0, 0, ctx, ctx.attrs, (), text=line)
        for subscription in self.points[name]:
            subscription.deliver(event)
