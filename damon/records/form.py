# SPDX-License-Identifier: GPL-2.0-only
"""The text of a records file: a JSON list of records as damo has it, each snapshot on a line of its own.

Numbers are strings, addresses with commas, as damo writes them; damo reads either.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from damon.core.trace import TraceEvent
from damon.model.attrs import DamonAttrs

#: The forms that a recording can end in.
OUTPUT_TYPES: Final = ("json_compressed", "json", "perf_script")
#: Seconds that wait in memory at most, unless something else is asked for.
FLUSH_S: Final = 5.0
#: What a line ends with after which snapshots follow.
HEAD_END: Final = '"snapshots": ['


@dataclass(frozen=True)
class Key:
    """Whose results a record holds: a worker, and one of its targets."""

    kdamond: int
    target: int


def intervals(attrs: DamonAttrs) -> dict[str, Any]:
    """damo's ``intervals``, in microseconds."""
    goal = attrs.intervals_goal
    return {
        "sample_us": str(attrs.sample_interval),
        "aggr_us": str(attrs.aggr_interval),
        "ops_update_us": str(attrs.ops_update_interval),
        "intervals_goal": {
            "access_bp": str(goal.access_bp),
            "aggrs": str(goal.aggrs),
            "min_sample_us": str(goal.min_sample_us),
            "max_sample_us": str(goal.max_sample_us),
        },
    }


def head(key: Key, attrs: DamonAttrs) -> str:
    """The line that begins a record. ``attrs`` are those at the begin of the recording."""
    record = {
        "kdamond_idx": key.kdamond,
        "context_idx": 0,
        "intervals": intervals(attrs),
        "scheme_idx": None,
        "target_id": key.target,
        "scheme_filters": [],
        "data_source": "unknown",
    }
    return f"{json.dumps(record)[:-1]}, {HEAD_END}"


def snapshot(event: TraceEvent, start_ns: int, first: DamonAttrs) -> str:
    """One snapshot as a line, from the event of one target's regions.

    damo derives percents and times from the record's intervals. When tuning has changed them since (``first`` are those
    of the record), they are spelled out.
    """
    total = 0
    rows: list[str] = []
    tuned = (event.attrs.sample_interval, event.attrs.aggr_interval) != (first.sample_interval, first.aggr_interval)
    aggr, most = event.attrs.aggr_interval, event.attrs.max_nr_accesses()
    percent = usec = "null"
    hits = ""
    for start, end, nr_accesses, age, probe_hits in event.regions():
        total += end - start
        if tuned:
            percent, usec = str(nr_accesses * 100 // most), f'"{age * aggr}"'
        if event.nr_probes:
            hits = ", ".join(map(str, probe_hits[: event.nr_probes]))
        rate = f'{{"samples": {nr_accesses}, "percent": {percent}}}'
        rows.append(
            f'{{"start": "{start:,}", "end": "{end:,}", "nr_accesses": {rate}, '
            f'"age": {{"usec": {usec}, "aggr_intervals": "{age}"}}, "probe_hits": [{hits}], "sz_filter_passed": "0 B"}}'
        )
    sample = f'"{event.attrs.sample_interval}"' if event.attrs.intervals_goal.aggrs else "null"
    return (
        f'{{"start_time": "{start_ns}", "end_time": "{event.time_ns}", "regions": [{", ".join(rows)}], '
        f'"total_bytes": "{total}", "damos_stats": null, "sample_interval_us": {sample}}}'
    )


@dataclass(frozen=True)
class Writer:
    """How far the text of a growing list of records is."""

    key: Key | None = None  #: of the record that is open
    interleaved: bool = False  #: does any target have more than one record?
    seen: frozenset[Key] = frozenset()

    BEGIN: ClassVar[str] = "["

    @property
    def tail(self) -> str:
        """What closes the text as it is."""
        return "\n]\n" if self.key is None else "\n]}\n]\n"

    def add(self, key: Key, head_line: str, snapshots: Sequence[str]) -> tuple[str, Writer]:
        """The text that adds ``snapshots`` to the record of ``key``, or begins another if that is not the last; and how
        far it is then."""
        lines = ",\n".join(snapshots)
        if key == self.key:
            return f",\n{lines}", self
        close = "" if self.key is None else "\n]},"
        return f"{close}\n{head_line}\n{lines}", Writer(key, self.interleaved or key in self.seen, self.seen | {key})
