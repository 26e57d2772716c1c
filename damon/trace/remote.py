# SPDX-License-Identifier: GPL-2.0-only
"""Events of another process's workers, as objects."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterable

from damon.core.trace import TraceEvent, TraceQueue
from damon.model.attrs import DamonAttrs, DamonIntervalsGoal
from damon.model.context import DamonCtx
from damon.trace.client import TraceClient


class RemoteQueue(TraceQueue):
    """The events of the stream at ``path``. Of a worker's context they have the attributes only.

    Args:
        path: the stream's socket.
        events: names, with or without ``damon:``.
        capacity: events that wait here at most; the other side keeps as many.

    Raises:
        DamonError: no server listens there.
        InvalidInput: there is no such event.
    """

    def __init__(self, path: str, events: Iterable[str], capacity: int) -> None:
        super().__init__(capacity)
        self._contexts: dict[int, DamonCtx] = {}
        self._client = TraceClient(path, events, "raw")
        self._thread = threading.Thread(target=self._fetch, name="damon-events", daemon=True)
        self._thread.start()

    def pid(self, ctx: DamonCtx) -> int:
        """Of the worker whose events come with ``ctx``."""
        return next(pid for pid, known in self._contexts.items() if known is ctx)

    @property
    def ended(self) -> bool:
        """Has the other side ended?"""
        return not self._thread.is_alive()

    def close(self) -> None:
        self._client.finish()
        self._thread.join()
        self._client.close()
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _fetch(self) -> None:
        for line in self._client:
            words = json.loads(line)
            if words["event"] == "lost":
                self.lost += words["count"]
            else:
                self.put(self._event(words))

    def _event(self, words: dict[str, object]) -> TraceEvent:
        values = words.pop("attrs")
        assert isinstance(values, dict)
        attrs = DamonAttrs(**values | {"intervals_goal": DamonIntervalsGoal(**values["intervals_goal"])})
        pid, fields, rows = words["pid"], words["fields"], words["rows"]
        assert isinstance(pid, int)
        assert isinstance(fields, list)
        assert isinstance(rows, str)
        ctx = self._contexts.setdefault(pid, DamonCtx(attrs=attrs))
        return TraceEvent(
            str(words["event"]), int(str(words["time_ns"])), str(words["comm"]), pid, int(str(words["cpu"])), ctx,
            attrs, tuple(fields), base64.b64decode(rows), int(str(words["nr_probes"])),
        )  # fmt: skip
