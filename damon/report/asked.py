# SPDX-License-Identifier: GPL-2.0-only
"""What a run was asked, checked: its workload, processes and contexts are foreign text until then."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from damon.errors import InvalidInput
from damon.quoting import cut
from damon.results.run import Run
from damon.workload.model import Workload
from damon.workload.tracefile.reader import Trace, is_trace

#: Areas, and phases, of a workload whose truth is computed.
MAX_AREAS: Final = 4096
MAX_PHASES: Final = 1 << 17
#: Contexts of a run that are shown.
MAX_CONTEXTS: Final = 8
_MOST: Final = 1 << 62
_LONGEST_NAME: Final = 60


def label(text: object) -> str:
    """A foreign name as one line of at most 60 characters."""
    return cut(str(text)[:1000], _LONGEST_NAME) or "(no name)"


@dataclass(frozen=True)
class Played:
    """The workload of a run on the simulated machine; ``starts`` are its areas' virtual addresses."""

    workload: Workload
    starts: Mapping[str, int]
    pids: Mapping[str, int]


def played(run: Run) -> Played | str:
    """The workload of ``run``, or why it is not known."""
    import msgspec

    request = run.request
    found = request.get("workload")
    if request.get("machine") == "record":
        return "a record: what was accessed is not known"
    if request.get("machine") != "sim" or not isinstance(found, dict):
        return "the run was not on the simulated machine: what was accessed is not known"
    if not isinstance(found.get("areas"), list) or len(found["areas"]) > MAX_AREAS:
        return "the workload has no areas, or too many"
    try:
        workload = msgspec.convert(found, Workload)
        starts = {area["name"]: area["start"] for area in found["areas"]}
        pids = found.get("pids") or {}
        msgspec.convert([starts, pids], list[dict[str, int]])
    except (msgspec.ValidationError, KeyError, RecursionError, OverflowError) as error:
        return f"the workload is of another kind: {cut(str(error))}"
    why = _refused(workload, [*starts.values(), *pids.values()])
    return why or Played(workload, starts, pids)


def lost_trace(workload: Workload) -> str | None:
    """Why the accesses of a replayed trace are not known; None: there is none, or it is there."""
    for path in {area.replay.path for area in workload.areas if area.replay is not None}:
        name = label(os.path.basename(path))
        if not is_trace(Path(path)):
            return f"the trace {name} is not where it was"
        try:
            what = Trace(Path(path)).description
        except InvalidInput:
            return f"the trace {name} is damaged"
        used = [area.replay for area in workload.areas if area.replay is not None and area.replay.path == path]
        fits = all(0 <= one.area < len(what.areas) for one in used)
        if not fits or not all(0 <= one.begin_ns < one.end_ns <= what.duration_ns for one in used):
            return f"the trace {name} is another one now"
        if not all(0.001 <= scale <= 1000.0 for one in used for scale in (one.time_scale, one.size_scale)):
            return f"the scale of the trace {name} is not valid"
    return None


def _refused(workload: Workload, addresses: list[int]) -> str:
    """Why nothing can be computed of it; empty: all can."""
    if not workload.phases or len(workload.phases) > MAX_PHASES:
        return "the workload has no phases, or too many"
    if sum(len(phase.accesses) for phase in workload.phases) > MAX_PHASES:
        return "the workload has too many accesses"
    known = {area.name for area in workload.areas}
    sizes = [area.size for area in workload.areas] + addresses
    sound = all(0 <= size < _MOST for size in sizes) and all(area.size >= 4096 for area in workload.areas)
    sound = sound and all(0 < phase.duration_us < _MOST for phase in workload.phases)
    for phase in workload.phases:
        for access in phase.accesses:
            rates = math.isfinite(access.rate) and math.isfinite(access.skew) and access.rate > 0 and access.skew > 0
            sound = sound and rates and access.area in known and 0 < access.stride < _MOST
    return "" if sound else "the workload's sizes, times or rates are not valid"


@dataclass(frozen=True)
class Context:
    """A context as it was started."""

    number: int
    ops: str
    addr_unit: int
    pids: tuple[int | None, ...]  #: of its targets
    actions: tuple[str, ...]  #: of its schemes
    intervals: tuple[int, int]  #: sampling and aggregation, us
    mappings: tuple[tuple[int, int, int, str], ...] = ()  #: target, start, end, name; of an imported record


def contexts(run: Run) -> dict[int, Context]:
    """Those of ``run`` by their numbers; what is not as expected has the value of a default."""
    return {number: _context(number, one) for number, one in enumerate(run.contexts[:MAX_CONTEXTS])}


def _context(number: int, found: Any) -> Context:
    fields = _object(found)
    intervals = _object(fields.get("intervals"))
    return Context(
        number,
        label(fields.get("ops", "?")),
        max(_number(fields.get("addr_unit"), 1), 1),
        tuple(_number(_object(one).get("pid"), None) for one in _list(fields.get("targets"))[:64]),
        tuple(label(_object(one).get("action", "?")) for one in _list(fields.get("schemes"))[:64]),
        (_number(intervals.get("sample_us"), 5000), _number(intervals.get("aggr_us"), 100_000)),
        tuple(_mappings(fields.get("mappings"))),
    )


def _mappings(found: Any) -> Iterator[tuple[int, int, int, str]]:
    for one in _list(found)[:MAX_AREAS]:
        if isinstance(one, list) and len(one) == 4:
            target, start, end = (_number(value, -1) for value in one[:3])
            if target >= 0 and 0 <= start < end:
                yield target, start, end, label(one[3])


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _number(value: Any, default: Any) -> Any:
    """A number that damo's form has as text or as it is."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 19:
        return int(value)
    return value if type(value) is int and 0 <= value < _MOST else default
