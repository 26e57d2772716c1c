# SPDX-License-Identifier: GPL-2.0-only
"""A run of an accuracy study as a run directory: what was reported, what was accessed, and the figures of both."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from damon.guests.accuracy.compare import Compared
from damon.guests.accuracy.figures import PERCENTILES, Figures
from damon.guests.accuracy.run import Ran
from damon.results.records import record_to_run

_MIB = 2**20


def keep(ran: Ran, found: Compared, figures: Figures, out: Path) -> None:
    """Make the run directory ``out``; the names of the areas are left beside the record.

    Raises:
        InvalidInput: ``out`` is not new.
        OSError: it cannot be written.
    """
    processes = [
        {"vmas": [{"start": start, "end": end, "name": name} for start, end, name in areas]}
        for areas in found.mappings
    ]  # fmt: skip
    ran.record.with_name(f"{ran.record.name}.vmas").write_text(json.dumps([{"procvmas": processes}]))
    record_to_run(ran.record, out, truth=found.truth, result={"accuracy": _result(figures)})


def _result(one: Figures) -> Mapping[str, Any]:
    """The figures as a report shows them, each with its unit."""
    found: dict[str, tuple[float | None, str]] = {
        "recall of hot bytes": (None if one.recall is None else 100 * one.recall, "%"),
        "precision of hot bytes": (None if one.precision is None else 100 * one.precision, "%"),
        "hot in truth, mean": (one.hot / _MIB, "MiB"),
        "reported hot, mean": (one.observed_hot / _MIB, "MiB"),
    }
    for percentile, true, seen in zip(PERCENTILES, one.used, one.observed_used, strict=True):
        found[f"working set in truth, p{percentile}"] = true / _MIB, "MiB"
        found[f"working set reported, p{percentile}"] = seen / _MIB, "MiB"
    found |= {"error of idle times, mean": (one.idle_error_s, "s"), "error of ages, mean": (one.age_error_s, "s")}
    return {name: {"value": value, "unit": unit} for name, (value, unit) in found.items() if value is not None}
