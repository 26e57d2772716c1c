# SPDX-License-Identifier: GPL-2.0-only
"""The truth of a run on the simulated machine, from the workload that is in its request."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Any, Final

from damon.model.machine import PAGE_SIZE
from damon.results.run import Run
from damon.workload.model import Access, Area, Event, Kind, Pattern, Phase, PhaseEvent, Workload
from damon.workload.truth import Truth

#: The field of ``run.json``'s result that has what ``traced_rates()`` gave.
RATES: Final = "traced_touches_per_page_s"


def traced_rates(workload: Workload, now_ns: int) -> dict[str, float] | None:
    """Mean touches of a page in a second by area in the middle of a run that ends now; None without a trace.

    For readers of the run: what it names as its traces must not be opened then, as another user may have written it.
    """
    if not any(area.replay for area in workload.areas):
        return None
    truth = Truth(workload)
    return {area: truth.accesses_per_page(area, now_ns / 2000, 1e6) for area in truth.areas}


def kept_rates(run: Run) -> Mapping[str, tuple[float, int]]:
    """What ``traced_rates()`` gave when the run was made, and the bytes of each area; empty: nothing."""
    kept, workload = (run.result or {}).get(RATES), run.request.get("workload")
    try:
        sizes = {str(area["name"]): int(area["size"]) for area in workload["areas"]}  # type: ignore[index]
        rates = {str(name): (float(rate), sizes[name]) for name, rate in dict(kept or {}).items()}
    except (KeyError, TypeError, ValueError, OverflowError):
        return {}
    return {name: found for name, found in rates.items() if isfinite(found[0]) and found[0] >= 0}


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
