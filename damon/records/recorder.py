# SPDX-License-Identifier: GPL-2.0-only
"""Recording: from the trace events of a machine's workers to damo's files.

The worker only puts events into a bounded queue. Its caller calls ``poll()`` now and then, which writes
what has come and forgets it.
"""

from __future__ import annotations

import errno
import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from damon.core import Damon
from damon.core.events import AGGREGATED
from damon.core.trace import TraceEvent, event_name
from damon.model.attrs import DamonAttrs
from damon.model.context import DamonCtx
from damon.records import convert, form, params
from damon.records.environment import Environment
from damon.records.form import FLUSH_S, OUTPUT_TYPES
from damon.records.source import LocalSource, Source
from damon.records.store import GrowingFile, GrowingList, GrowingZlib
from damon.trace.text import script_lines

_FLUSH_BYTES: Final = 4 << 20
_LOOK_NS: Final = 1_000_000_000
#: Results of ``_LOOK_NS`` fit into the queue so often, where they may wait for so long.
_FEW: Final = 16
_SIBLINGS: Final = ("mem_footprint", "vmas", "proc_stats")


@dataclass
class _Worker:
    """A context whose results are recorded."""

    index: int
    ctx: DamonCtx
    kdamond: params.Pairs
    pids: list[int]
    first: DamonAttrs


@dataclass
class _Target:
    """What waits to be written of one target."""

    head: str
    snapshots: list[str]
    last_ns: int


class Recorder:
    """Records everything that the workers of ``source`` find out from now on, until ``finish()``.

    While it records, ``path`` is a complete file of damo's ``json_compressed`` form at any time, whatever ends this
    process; what is not yet written is ``flush_s`` seconds of the machine's time at most.

    Args:
        source: whose results; a ``Damon`` of this process, or another's.
        path: the file; one that is there becomes ``PATH.old``, as do those beside it.
        environment: where footprints and mappings come from; None: they are not recorded.
        output_type: the form that the file has in the end.
        events: also written to ``PATH.trace`` as text.
        flush_s: seconds of the machine's time between writes.
        capacity: events that wait for ``poll()`` at most; further ones are lost, and counted.

    Raises:
        OSError: the files cannot be written.
    """

    def __init__(
        self,
        source: Damon | Source,
        path: Path,
        environment: Environment | None = None,
        *,
        output_type: str = OUTPUT_TYPES[0],
        events: Sequence[str] = (),
        flush_s: float = FLUSH_S,
        capacity: int = 1 << 20,
    ) -> None:
        self._source: Source = LocalSource(source) if isinstance(source, Damon) else source
        self._path, self._environment, self._type = path, environment, output_type
        self._traced = frozenset(map(event_name, events))
        self._flush_ns = round(flush_s * 1e9)
        self._workers: dict[DamonCtx, _Worker] = {}
        self._targets: dict[form.Key, _Target] = {}
        self._writer = form.Writer()
        self._waiting = 0  # bytes of text
        self._trace_text: list[str] = []
        self.nr_snapshots = 0
        self._last_flush = self._next_look = self._source.now_ns()
        self._store = GrowingZlib(path, self._writer.BEGIN, self._writer.tail)
        try:
            GrowingFile(self._beside("kdamonds"), b"[]\n").close()
            self._siblings = {name: GrowingList(self._beside(name)) for name in _SIBLINGS if environment is not None}
            self._trace_file = GrowingFile(self._beside("trace"), b"") if self._traced else None
        except OSError:
            self._store.close()
            raise
        self._trace_size = 0
        self._vmas: list[params.Pairs] = []
        self._capacity = capacity
        self._queue = self._source.queue({AGGREGATED, *self._traced}, capacity)

    def _beside(self, name: str) -> Path:
        return self._path.with_name(f"{self._path.name}.{name}")

    @property
    def lost(self) -> int:
        """Events that came faster than they were written."""
        return self._queue.lost

    def watch(self, ctx: DamonCtx) -> None:
        """Note the parameters of a context that was just started; without it they are noted at its first results."""
        if ctx in self._workers:
            return
        kdamond = self._source.kdamond(ctx)
        pids = [int(target["pid"]) for target in kdamond["contexts"][0]["targets"] if target["pid"]]
        self._workers[ctx] = _Worker(len(self._workers), ctx, kdamond, pids, ctx.attrs)
        self._write_kdamonds()

    def poll(self) -> None:
        """Take what has come, and write when it is time.

        Raises:
            OSError: it cannot be written, e.g. ENOSPC; what was written before stays, ``finish()`` still works.
        """
        for event in self._queue.drain():
            self._take(event)
        now = self._source.now_ns()
        if self._environment is not None and now >= self._next_look:
            self._next_look = now + self._look_ns()
            self._look(self._environment)
        if self._waiting >= _FLUSH_BYTES or now - self._last_flush >= self._flush_ns:
            self._last_flush = now
            self._flush()

    def _look_ns(self) -> int:
        """A second, or the shortest aggregation interval where all are longer."""
        return max(_LOOK_NS, 1000 * min((one.ctx.attrs.aggr_interval for one in self._workers.values()), default=0))

    def idle_us(self) -> int:
        """For how long of the machine's time ``poll()`` has nothing to do but to take what came; 0: call it often."""
        events = sum(
            worker.ctx.attrs.max_nr_regions * _LOOK_NS // max(worker.ctx.attrs.aggr_interval * 1000, 1)
            for worker in self._workers.values()
        )
        if self._traced or events * _FEW > self._capacity:
            return 0
        due = self._last_flush + self._flush_ns
        if self._environment is not None:
            due = min(due, self._next_look)
        return max(min(due - self._source.now_ns(), _LOOK_NS) // 1000, 0)

    def _take(self, event: TraceEvent) -> None:
        if event.name in self._traced:
            self._trace_text += script_lines(event)
            self._waiting += 100 * event.nr
        if event.name != AGGREGATED:
            return
        self.watch(event.ctx)
        worker = self._workers[event.ctx]
        key = form.Key(worker.index, event.fields[0])
        target = self._targets.get(key)
        if target is None:
            begin = event.time_ns - event.attrs.aggr_interval * 1000
            target = self._targets[key] = _Target(form.head(key, worker.first), [], begin)
        text = form.snapshot(event, target.last_ns, worker.first)
        target.last_ns = event.time_ns
        target.snapshots.append(text)
        self.nr_snapshots += 1
        self._waiting += len(text)

    def _look(self, environment: Environment) -> None:
        pids = [pid for worker in self._workers.values() for pid in worker.pids]
        self._put("mem_footprint", environment.footprint(pids))
        vmas = environment.vmas(pids)
        if vmas != self._vmas:
            self._vmas = vmas
            self._put("vmas", {"time": environment.time(), "procvmas": vmas})
        workers = [int(worker.kdamond["pid"]) for worker in self._workers.values()]
        stats = environment.stats([*workers, *pids])
        if stats:
            self._put("proc_stats", {"time": environment.time(), "proc_stats": stats})

    def _put(self, name: str, item: params.Pairs) -> None:
        try:
            self._siblings[name].append(json.dumps(item))
        except OSError as error:
            raise _failed(self._beside(name), error) from None

    def _flush(self) -> None:
        """Write what waits and forget it."""
        for key, target in self._targets.items():
            if target.snapshots:
                text, writer = self._writer.add(key, target.head, target.snapshots)
                try:
                    self._store.append(text, writer.tail)
                except OSError as error:
                    raise _failed(self._path, error) from None
                self._writer = writer
                target.snapshots.clear()
        if self._trace_file is not None and self._trace_text:
            data = "".join(f"{line}\n" for line in self._trace_text).encode()
            try:
                self._trace_file.put(self._trace_size, 0, data)
            except OSError as error:
                raise _failed(self._trace_file.path, error) from None
            self._trace_size += len(data)
            self._trace_text.clear()
        self._waiting = 0

    def _write_kdamonds(self) -> None:
        text = json.dumps([worker.kdamond for worker in self._workers.values()], indent=4)
        try:
            convert.replace(self._beside("kdamonds"), [text, "\n"])
        except OSError as error:
            raise _failed(self._beside("kdamonds"), error) from None

    def refresh(self) -> None:
        """Note the parameters and statistics as they are now; call it before the workers are stopped."""
        for worker in self._workers.values():
            if self._source.running(worker.ctx):
                worker.kdamond = self._source.kdamond(worker.ctx)
        if self._workers:
            self._write_kdamonds()

    def finish(self) -> None:
        """Write the rest and bring the file into its final form.

        Raises:
            OSError: that is not possible; the file is readable all the same, as far as it was written.
        """
        self._queue.close()
        try:
            for event in self._queue.drain():
                self._take(event)
            self._flush()
        finally:
            for file in (self._store, *self._siblings.values(), self._trace_file):
                if file is not None:
                    with suppress(OSError):
                        file.close()
        try:
            if self._writer.interleaved:
                convert.regroup(self._path)
            if self._type != OUTPUT_TYPES[0]:
                convert.CONVERTERS[self._type](self._path)
        except OSError as error:
            raise OSError(
                error.errno,
                f"{self._path}: {error.strerror}: it stays in the form it was recorded in; read it as it is",
            ) from None


def _failed(path: Path, error: OSError) -> OSError:
    remedy = "; make room there" if error.errno in (errno.ENOSPC, errno.EDQUOT) else ""
    return OSError(error.errno, f"{path}: cannot be written: {error.strerror}{remedy}; what was written before is kept")
