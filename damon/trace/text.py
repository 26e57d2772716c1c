# SPDX-License-Identifier: GPL-2.0-only
"""Events as lines: as ``perf script`` prints them, as JSON, and as another process takes them in again."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict

from damon.core.events import FIELDS
from damon.core.trace import TraceEvent


def script_lines(event: TraceEvent) -> Iterator[str]:
    """``kdamond.0  PID [CPU] SEC.USEC: damon:NAME: FIELDS``, one line for each event that it is in the kernel."""
    seconds, usec = divmod(event.time_ns // 1000, 1_000_000)
    head = f"{event.comm:>15} {event.pid:>7} [{event.cpu:03}] {seconds:>5}.{usec:06}: damon:{event.name}: "
    return (head + text for text in event.texts())


def json_lines(event: TraceEvent) -> Iterator[str]:
    """One object for each event that it is in the kernel: its fields, and ``event time_ns comm pid cpu``."""
    common = {
        "event": event.name,
        "time_ns": event.time_ns,
        "comm": event.comm,
        "pid": event.pid,
        "cpu": event.cpu,
    }
    for values in event.values():
        fields = zip(FIELDS[event.name], values, strict=True)
        yield json.dumps(common | {name: list(value) if isinstance(value, bytes) else value for name, value in fields})


def raw_lines(event: TraceEvent) -> Iterator[str]:
    """One object for all of it: what ``json_lines`` has in common, ``attrs``, ``fields`` and the native ``rows``
    (base64). For ``damon.trace.remote`` of the same version and machine."""
    yield json.dumps({
        "event": event.name, "time_ns": event.time_ns, "comm": event.comm, "pid": event.pid, "cpu": event.cpu,
        "attrs": asdict(event.attrs), "fields": event.fields, "rows": base64.b64encode(event.rows).decode(),
        "nr_probes": event.nr_probes,
    })  # fmt: skip


FORMS: dict[str, Callable[[TraceEvent], Iterator[str]]] = {
    "script": script_lines, "json": json_lines, "raw": raw_lines,
}  # fmt: skip


def lost_line(form: str, count: int) -> str:
    """What stands where ``count`` events are missing."""
    return json.dumps({"event": "lost", "count": count}) if form != "script" else f"# lost {count} events"
