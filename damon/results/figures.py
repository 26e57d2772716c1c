# SPDX-License-Identifier: GPL-2.0-only
"""The figures by which runs are measured, compared and held to conditions: by name, of a run's ``Counts``.

The counts of ``damon run`` are those of its result (``counts()``); runs of a study have their own, and what they are
compared with (``damon.tune.measure``).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import inf
from typing import Any, Final

from damon.model.machine import PAGE_SIZE

#: What ``damon run --json`` writes.
Result = Mapping[str, Any]
#: Why a run does not have a figure.
SIMULATED_CPU: Final = "a simulated machine's worker has no processor; what simulating it took is in timing"
NO_COUNTS: Final = "the modules of this engine count no bytes"
_NEEDS: Final = {
    "sim": "is known on the simulated machine only; give --sim",
    "workload": "is that of a workload; give --sim, or --linux with --workload",
    "counts": NO_COUNTS,
    "processor": SIMULATED_CPU,
    "rates": "is known on the simulated machine only; give --sim",
    "study": "is known of runs of a study only; give it in a study file, to damon tune or damon sweep",
}


@dataclass(frozen=True)
class Counts:
    """What figures are made of. None: it is not known of this run.

    Attributes:
        seconds: of the machine's time.
        refaults: reclaimed pages that came back.
        psi_some_us: time in which some process waited for memory.
        slowdown: time that the slowest process takes, divided by that with all of its memory there.
        resident_byte_s: bytes x seconds in memory.
        evicted_byte_s: bytes x seconds that had left and were not back.
        free_bytes: free memory at the end.
        reclaimed_bytes: of areas, at the start less at the end.
        hot_bytes: of areas that are accessed at the end.
        hot_bytes_kept: ... and in memory.
        tried_bytes: by modules.
        applied_bytes: by modules.
        cpu_s: processor seconds of the workers.
        best: the run held against the best possible one (``damon.results.best``).
        samples: pages that were checked for accesses.
        wss_byte_s: working set: bytes x seconds.
        base: the same run without any module, at the same moment.
    """

    seconds: float
    refaults: float
    psi_some_us: float
    slowdown: float | None = None
    resident_byte_s: float | None = None
    evicted_byte_s: float | None = None
    free_bytes: float | None = None
    reclaimed_bytes: float | None = None
    hot_bytes: float | None = None
    hot_bytes_kept: float | None = None
    tried_bytes: float | None = None
    applied_bytes: float | None = None
    cpu_s: float | None = None
    best: Mapping[str, Any] | None = None
    samples: float | None = None
    wss_byte_s: float | None = None
    base: Counts | None = None


@dataclass(frozen=True)
class Figure:
    """One figure.

    Attributes:
        name: by which it is asked for.
        unit: ``share`` (of 1), ``bytes``, or empty: a plain number.
        what: it is, for people.
        of: its value; None where the run does not have it.
        needs: what a run has to have: ``sim``, ``workload``, ``counts``, ``processor``, ``rates``, ``study``; empty:
            nothing.
    """

    name: str
    unit: str
    what: str
    of: Callable[[Counts], float | None]
    needs: str = ""

    def show(self, value: float) -> str:
        """``value`` for people, precise enough to be held against a bound."""
        if self.unit == "share":
            return f"{value:.4%}"
        if self.unit == "bytes":
            return f"{value:.0f} bytes ({value / (1 << 20):.1f} MiB)"
        return f"{value:.6g}"

    def short(self, value: float, spread: float | None = None) -> str:
        """``value`` for tables, with its ``spread`` if there is one, as exact as it is: ``130.0±1.1 MiB``."""
        factor, form, end = {"share": (100.0, ".3f", "%"), "bytes": (1 / (1 << 20), ".1f", " MiB")}.get(
            self.unit, (1.0, ".5g", "")
        )
        if spread is not None and form == ".5g":
            spread = round(spread, 4 - math.floor(math.log10(abs(value))) if value else 4)
        beside = "" if spread is None else f"\N{PLUS-MINUS SIGN}{spread * factor:{form}}"
        return f"{value * factor:{form}}{beside}{end}"


def totals(result: Result) -> dict[str, Any]:
    """Sums over areas and modules, in bytes, pages and seconds.

    ``reclaimed_bytes``: of the workload's areas, what was in memory when the modules were loaded, less what is there at
    the end. ``hot_bytes``: of the areas that the workload accesses in the phase that it is in at the end.
    """
    areas = result["areas"].values()
    hot = [area for area in areas if area["hot"]]
    return {
        "tried_bytes": _counted(result, "tried_bytes"),
        "applied_bytes": _counted(result, "applied_bytes"),
        "reclaimed_bytes": sum(area["resident_bytes_start"] - area["resident_bytes_end"] for area in areas),
        "hot_bytes": sum(area["size_bytes"] for area in hot),
        "hot_bytes_kept": sum(area["resident_bytes_end"] for area in hot),
        "refaults": result["memory"]["refaults"],
        "kdamond_cpu_seconds": sum(result["timing"]["kdamond_cpu_seconds"].values()),
    }


def _counted(result: Result, name: str) -> int | None:
    """Over the modules that count; None when none does."""
    counts = [module[name] for module in result["modules"].values() if module[name] is not None]
    return sum(counts) if counts else None


def seconds(result: Result) -> float:
    """Of the machine's time that the run took."""
    simulated = result["virtual_seconds"]
    return float(result["timing"]["seconds"] if simulated is None else simulated)


def _memory_time(result: Result, name: str) -> float | None:
    """Bytes x seconds over all areas; None where they are not known."""
    found = [area.get(name) for area in result["areas"].values()]
    return None if not found or None in found else sum(found)


def _divided(above: float | None, below: float | None) -> float | None:
    return None if above is None or not below else above / below


def counts(result: Result) -> Counts:
    """Those of a result of ``damon run``."""
    simulated, workload, found = result["virtual_seconds"] is not None, bool(result["areas"]), totals(result)
    return Counts(
        seconds=seconds(result), refaults=found["refaults"],
        psi_some_us=result["psi_some_us"] - (result.get("psi_some_us_start") or 0),
        slowdown=result["slowdown"] if workload else None,
        resident_byte_s=_memory_time(result, "resident_byte_seconds") if simulated else None,
        evicted_byte_s=_memory_time(result, "evicted_byte_seconds") if simulated else None,
        free_bytes=result["memory"]["free_bytes"],
        reclaimed_bytes=found["reclaimed_bytes"] if workload else None, hot_bytes=found["hot_bytes"],
        hot_bytes_kept=found["hot_bytes_kept"], tried_bytes=found["tried_bytes"],
        applied_bytes=found["applied_bytes"], cpu_s=None if simulated else found["kdamond_cpu_seconds"],
        best=result.get("best"),
    )  # fmt: skip


def _saved(run: Counts) -> float | None:
    if run.evicted_byte_s is None or run.resident_byte_s is None:
        return None
    return _divided(run.evicted_byte_s, run.evicted_byte_s + run.resident_byte_s)


def _net_byte_s(run: Counts) -> float | None:
    if run.base is None or run.base.resident_byte_s is None or run.resident_byte_s is None:
        return None
    return run.base.resident_byte_s - run.resident_byte_s


def _net_saved(run: Counts) -> float | None:
    return None if run.base is None else _divided(_net_byte_s(run), run.base.resident_byte_s)


def _refaulted(run: Counts) -> float | None:
    """A minute, by the working set of the run without a module."""
    if run.base is None or run.base.wss_byte_s is None:
        return None
    return run.refaults * PAGE_SIZE * 60 / max(run.base.wss_byte_s, 1.0)


def _best(name: str) -> Callable[[Counts], float | None]:
    return lambda run: (run.best or {}).get(name)


def _regret(run: Counts) -> float | None:
    if run.best is None or run.best["regret"] is not None:
        return None if run.best is None else float(run.best["regret"])
    return inf  # refaults where none was necessary


def _table() -> list[Figure]:
    return [
        Figure("saved", "share", "memory that had left and was not back, on average over time; of all that the workload"
               " would have had in memory", _saved, "sim"),
        Figure("saved_bytes", "bytes", "the same in bytes", lambda run: _divided(run.evicted_byte_s, run.seconds),
               "sim"),
        Figure("net_saved", "share", "resident memory without a module less that with it, on average over time; of that"
               " without", _net_saved, "study"),
        Figure("net_saved_bytes", "bytes", "the same in bytes", lambda run: _divided(_net_byte_s(run), run.seconds),
               "study"),
        Figure("resident_bytes", "bytes", "memory that was there, on average over time",
               lambda run: _divided(run.resident_byte_s, run.seconds), "sim"),
        Figure("refaults", "", "reclaimed pages that came back", lambda run: run.refaults),
        Figure("refaults_per_s", "", "the same a second", lambda run: _divided(run.refaults, run.seconds)),
        Figure("refaulted_wss_per_min", "share", "reclaimed memory that came back, a minute, by the working set",
               _refaulted, "study"),
        Figure("regret", "", "refaults, divided by those that were necessary for the memory saved", _regret, "rates"),
        Figure("of_possible", "share", "memory saved, of the most that could be saved at the same refaults",
               _best("of_possible"), "rates"),
        Figure("slowdown", "", "time that the slowest process takes, divided by that with all of its memory there",
               lambda run: run.slowdown, "workload"),
        Figure("psi_some_us", "", "microseconds in which some process waited for memory", lambda run: run.psi_some_us),
        Figure("psi_some", "share", "the same, of the run's time",
               lambda run: _divided(run.psi_some_us / 1e6, run.seconds)),
        Figure("free", "bytes", "free memory at the end", lambda run: run.free_bytes),
        Figure("reclaimed", "bytes", "memory of the workload's areas at the start, less that at the end",
               lambda run: run.reclaimed_bytes, "workload"),
        Figure("hot_kept", "share", "what is in memory at the end, of the areas that are accessed then",
               lambda run: _divided(run.hot_bytes_kept, run.hot_bytes), "workload"),
        Figure("tried", "bytes", "memory that modules tried their schemes on", lambda run: run.tried_bytes, "counts"),
        Figure("applied", "bytes", "memory that modules applied their schemes to", lambda run: run.applied_bytes,
               "counts"),
        Figure("cpu_s", "", "processor seconds of the workers", lambda run: run.cpu_s, "processor"),
        Figure("samples_per_s", "", "pages that are checked for accesses, a second: what monitoring costs grows with"
               " it", lambda run: _divided(run.samples, run.seconds), "study"),
    ]  # fmt: skip


#: By name.
FIGURES: Final[Mapping[str, Figure]] = {figure.name: figure for figure in _table()}


def figures(result: Result) -> dict[str, float | None]:
    """All figures of a result by name; None of one that it does not have. ``regret`` can be ``inf``."""
    run = counts(result)
    return {name: figure.of(run) for name, figure in FIGURES.items()}


def lacking(figure: Figure, *, simulated: bool, workload: bool, counts: bool) -> str | None:
    """Why a run will not have ``figure``; None when it will.

    Args:
        figure: that is asked for.
        simulated: is the machine simulated?
        workload: is a workload played or performed?
        counts: does a module count what it acts on?
    """
    has = {"sim": simulated, "workload": workload, "counts": counts, "processor": not simulated, "study": False}
    has["rates"] = simulated
    return None if has.get(figure.needs, True) else _NEEDS[figure.needs]
