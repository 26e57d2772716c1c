# SPDX-License-Identifier: GPL-2.0-only
"""The kernel's own trace events of DAMON, from an instance of tracefs that nothing else uses.

The instance is written down before it is made, and removed at the end, also when this process is killed.
"""

from __future__ import annotations

import os
import re
import select
import struct
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from damon.core.events import AGGREGATED, FIELDS, INTERVALS_TUNE, REGION_AGGREGATED
from damon.core.trace import TraceEvent, TraceQueue, event_name
from damon.errors import InvalidInput, MissingCapability
from damon.host.files import put
from damon.model.context import DamonCtx
from damon.quoting import listed

if TYPE_CHECKING:
    from damon.host.engine import HostDamon

TRACEFS: Final = Path("/sys/kernel/tracing")
#: Of each processor, in KiB: an aggregation of a thousand regions is 60.
BUFFER_KIB: Final = 4096
_READ_BYTES: Final = 1 << 16
_WAIT_MS: Final = 100
#: Start, end, accesses, age, hits of probes: the rows of a ``TraceEvent``.
_ROW: Final = struct.Struct("=QQ8xI4xI4s8x")
#: ``kdamond.0-1234  [001] .....  12.345678: damon_aggregated: target_id=0 ...``; a name may have any characters.
_LINE: Final = re.compile(r"\s*(.+)-(\d+)\s+\[(\d+)\]\s+(?:\S+\s+)?(\d+)\.(\d+): (\w+): (.*)")
_LOST: Final = re.compile(r"CPU:\d+ \[LOST (\d+) EVENTS\]")
_REGION: Final = re.compile(r"(.*) (\d+)-(\d+): (\d+) (\d+)(?: probe_hits=(.*))?")
_MOST_PROBES: Final = 4
#: Those of which one event has all regions of a target.
_WHOLE: Final = (AGGREGATED, REGION_AGGREGATED)


@dataclass(frozen=True)
class TraceLine:
    """One line: an event, in ``row`` a region of a target, with the hits of ``nr_probes``."""

    name: str
    time_ns: int
    comm: str
    pid: int
    cpu: int
    fields: tuple[int, ...]
    row: bytes = b""
    nr_probes: int = 0


def parse(line: str) -> TraceLine | int | None:
    """A line of ``trace_pipe``; how many events are lost where it says that; None of another event or a comment."""
    lost = _LOST.match(line)
    if lost is not None:
        return int(lost[1])
    match = _LINE.match(line)
    if match is None or match[6] not in FIELDS:
        return None
    comm, pid, cpu, seconds, fraction, name, text = match.groups()
    when = int(seconds) * 10**9 + int(fraction.ljust(9, "0")[:9])
    row, hits = b"", ""
    bounds: tuple[int, ...] = ()
    if "end" in FIELDS[name]:
        region = _REGION.fullmatch(text)
        if region is None:
            return None
        text, hits = region[1], region[6] or ""
        bounds = tuple(map(int, region.groups()[1:5]))
        row = _ROW.pack(*bounds, bytes.fromhex(hits)[:_MOST_PROBES])
    try:
        values = tuple(int(word.partition("=")[2]) for word in text.split())
    except ValueError:
        return None
    if name not in _WHOLE:
        return TraceLine(name, when, comm, int(pid), int(cpu), values + bounds)
    return TraceLine(name, when, comm, int(pid), int(cpu), values, row, len(hits.split()))


def _follows(one: TraceLine, other: TraceLine) -> bool:
    """May they be neighbours of one target? Regions come in the order of their addresses."""
    (_, end, *_), (start, *_) = _ROW.unpack(one.row), _ROW.unpack(other.row)
    return (one.name, one.fields) == (other.name, other.fields) and int(end) <= int(start)


class Events:
    """From the text of ``trace_pipe`` to events: the regions of one target are one, as everywhere else.

    Args:
        context: whose worker a thread is; made up for one that is not known.
    """

    def __init__(self, context: Mapping[int, DamonCtx]) -> None:
        self._context = context
        self._others: dict[int, DamonCtx] = {}
        self._rest = b""
        self._open: dict[int, list[TraceLine]] = {}
        self.lost = 0

    def feed(self, data: bytes) -> Iterator[TraceEvent]:
        """What is complete with ``data``."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            found = parse(line.decode(errors="replace"))
            if isinstance(found, int):
                self.lost += found
                self._drop()
            elif found is not None:
                yield from self._take(found)

    def _drop(self) -> None:
        """Regions of targets of which some are missing."""
        self.lost += sum(map(len, self._open.values()))
        self._open.clear()

    def _take(self, line: TraceLine) -> Iterator[TraceEvent]:
        if not line.row:
            yield self._event([line])
            return
        before = self._open.setdefault(line.pid, [])
        if before and not _follows(before[-1], line):
            self.lost += len(before)  # the rest of them never came
            before.clear()
        before.append(line)
        if len(before) == line.fields[1]:
            yield self._event(self._open.pop(line.pid))

    def _event(self, lines: list[TraceLine]) -> TraceEvent:
        first = lines[0]
        ctx = self._context.get(first.pid) or self._others.setdefault(first.pid, DamonCtx())
        if first.name == INTERVALS_TUNE:
            ratio = ctx.attrs.aggr_interval // max(ctx.attrs.sample_interval, 1)
            sample = first.fields[0]
            ctx.attrs = replace(ctx.attrs, sample_interval=sample, aggr_interval=sample * ratio)
        rows = b"".join(line.row for line in lines)
        return TraceEvent(
            first.name, first.time_ns, first.comm, first.pid, first.cpu, ctx, ctx.attrs, first.fields, rows,
            first.nr_probes,
        )  # fmt: skip


def there(tracefs: Path = TRACEFS) -> list[str]:
    """The events of DAMON that this kernel has.

    Raises:
        MissingCapability: there is no tracefs, or no events of DAMON.
    """
    found = sorted(path.parent.name for path in tracefs.glob("events/damon/*/enable"))
    if not found:
        raise MissingCapability(
            f"{tracefs}/events/damon: is not there; mount tracefs, and boot a kernel with CONFIG_FTRACE"
        )
    return found


class HostQueue(TraceQueue):
    """Trace events of the kernel from now on, read by a thread of its own until ``close()``.

    Args:
        host: the engine; it removes what this makes.
        events: names, with or without ``damon:``.
        capacity: events that wait here at most.
        context: whose worker a thread is.
        tracefs: where it is mounted.

    Raises:
        MissingCapability: there is no tracefs, or no events of DAMON.
        InvalidInput: this kernel does not have one of the events.
    """

    def __init__(
        self,
        host: HostDamon,
        events: Iterable[str],
        capacity: int,
        context: Mapping[int, DamonCtx],
        tracefs: Path = TRACEFS,
    ) -> None:
        super().__init__(capacity)
        wanted = sorted(set(map(event_name, events)))
        known = there(tracefs)
        for name in wanted:
            if name not in known:
                raise InvalidInput(f"event: {name!r}: this kernel has none such; use {listed(known)}")
        self._place = tracefs / f"instances/pydamon-{os.getpid()}"
        self._events_of = Events(context)
        host.make_instance(self._place)
        put(self._place / "trace_clock", "mono")
        put(self._place / "buffer_size_kb", BUFFER_KIB)
        self._pipe = os.open(self._place / "trace_pipe", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        self._ending = False
        for name in {*wanted, *({INTERVALS_TUNE} & {*known})}:
            put(self._place / f"events/damon/{name}/enable", 1)
        self._wanted = frozenset(wanted)
        self._thread = threading.Thread(target=self._fetch, name="damon-host-events", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """What has come until now can still be fetched; the instance goes with the engine's end."""
        if self.closed:
            return
        put(self._place / "events/enable", 0)
        self._ending = True
        self._thread.join()
        os.close(self._pipe)
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _fetch(self) -> None:
        waiting = select.poll()
        waiting.register(self._pipe, select.POLLIN)
        while True:
            ending = self._ending  # before the last look
            waiting.poll(_WAIT_MS)
            while data := self._read():
                for event in self._events_of.feed(data):
                    if event.name in self._wanted:
                        self.put(event)
                with self._changed:
                    self.lost += self._events_of.lost
                self._events_of.lost = 0
            if ending:
                return

    def _read(self) -> bytes:
        try:
            return os.read(self._pipe, _READ_BYTES)
        except BlockingIOError:
            return b""
