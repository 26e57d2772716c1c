# SPDX-License-Identifier: GPL-2.0-only
"""The truth of a run on the simulated machine, from the workload that is in its request."""

from __future__ import annotations

from typing import Any

from damon.model.machine import PAGE_SIZE
from damon.results.run import Run
from damon.workload.model import Access, Area, Event, Kind, Pattern, Phase, PhaseEvent, Workload
from damon.workload.truth import Truth


def truth_of(run: Run) -> Truth | None:
    """None: the run had no workload, or not one of rates."""
    given = run.request.get("workload")
    if not isinstance(given, dict):
        return None
    try:
        if any(area.get("replay") for area in given["areas"]):
            return None
        return Truth(_workload(given))
    except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError):
        return None


def _workload(given: dict[str, Any]) -> Workload:
    areas = tuple(
        Area(area["name"], int(area["size"]), Kind(area["kind"]), area["process"], area["populate"],
             area["mapped_at_start"], area["memcg"])
        for area in given["areas"]
    )  # fmt: skip
    phases = tuple(
        Phase(
            phase["name"],
            int(phase["duration_us"]),
            tuple(
                Access(one["area"], float(one["rate"]), Pattern(one["pattern"]), float(one["write_share"]),
                       int(one["stride"]), float(one["skew"]))
                for one in phase["accesses"]
            ),
            tuple(PhaseEvent(Event(event["event"]), event["name"]) for event in phase["events"]),
        )
        for phase in given["phases"]
    )  # fmt: skip
    if min(phase.duration_us for phase in phases) < 1 or min(area.size for area in areas) < PAGE_SIZE:
        raise ValueError("a phase without time, or an area without a page")
    return Workload(str(given["name"]), areas, phases, bool(given["repeat"]))
