# SPDX-License-Identifier: GPL-2.0-only
"""The figures by which runs are measured, compared and held to conditions: by name, of the result of ``damon run``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import inf
from typing import Any, Final

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
}


@dataclass(frozen=True)
class Figure:
    """One figure.

    Attributes:
        name: by which it is asked for.
        unit: ``share`` (of 1), ``bytes``, or empty: a plain number.
        what: it is, for people.
        of: its value in a result; None where that does not have it.
        needs: what a run has to have: ``sim``, ``workload``, ``counts``, ``processor``; empty: nothing.
    """

    name: str
    unit: str
    what: str
    of: Callable[[Result], float | None]
    needs: str = ""

    def show(self, value: float) -> str:
        """``value`` for people, precise enough to be held against a bound."""
        if self.unit == "share":
            return f"{value:.4%}"
        if self.unit == "bytes":
            return f"{value:.0f} bytes ({value / (1 << 20):.1f} MiB)"
        return f"{value:.6g}"


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


def _saved(result: Result) -> float | None:
    evicted = _memory_time(result, "evicted_byte_seconds")
    resident = _memory_time(result, "resident_byte_seconds")
    return None if evicted is None or resident is None else _divided(evicted, evicted + resident)


def _best(name: str) -> Callable[[Result], float | None]:
    return lambda result: (result.get("best") or {}).get(name)


def _regret(result: Result) -> float | None:
    best = result.get("best")
    if best is None or best["regret"] is not None:
        return None if best is None else float(best["regret"])
    return inf  # refaults where none was necessary


def _total(name: str) -> Callable[[Result], float | None]:
    return lambda result: totals(result)[name]


def _table() -> list[Figure]:
    return [
        Figure("saved", "share", "memory that had left and was not back, on average over time; of all that the workload"
               " would have had in memory", _saved, "sim"),
        Figure("saved_bytes", "bytes", "the same in bytes",
               lambda result: _divided(_memory_time(result, "evicted_byte_seconds"), seconds(result)), "sim"),
        Figure("resident_bytes", "bytes", "memory that was there, on average over time",
               lambda result: _divided(_memory_time(result, "resident_byte_seconds"), seconds(result)), "sim"),
        Figure("refaults", "", "reclaimed pages that came back", lambda result: result["memory"]["refaults"]),
        Figure("refaults_per_s", "", "the same a second",
               lambda result: _divided(result["memory"]["refaults"], seconds(result))),
        Figure("regret", "", "refaults, divided by those that were necessary for the memory saved", _regret, "rates"),
        Figure("of_possible", "share", "memory saved, of the most that could be saved at the same refaults",
               _best("of_possible"), "rates"),
        Figure("slowdown", "", "time that the slowest process takes, divided by that with all of its memory there",
               lambda result: result["slowdown"], "workload"),
        Figure("psi_some_us", "", "microseconds in which some process waited for memory",
               lambda result: result["psi_some_us"] - (result.get("psi_some_us_start") or 0)),
        Figure("psi_some", "share", "the same, of the run's time", lambda result: _divided(
            (result["psi_some_us"] - (result.get("psi_some_us_start") or 0)) / 1e6, seconds(result))),
        Figure("free", "bytes", "free memory at the end", lambda result: result["memory"]["free_bytes"]),
        Figure("reclaimed", "bytes", "memory of the workload's areas at the start, less that at the end",
               _total("reclaimed_bytes"), "workload"),
        Figure("hot_kept", "share", "what is in memory at the end, of the areas that are accessed then",
               lambda result: _divided(*(totals(result)[name] for name in ("hot_bytes_kept", "hot_bytes"))),
               "workload"),
        Figure("tried", "bytes", "memory that modules tried their schemes on", _total("tried_bytes"), "counts"),
        Figure("applied", "bytes", "memory that modules applied their schemes to", _total("applied_bytes"), "counts"),
        Figure("cpu_s", "", "processor seconds of the workers", _total("kdamond_cpu_seconds"), "processor"),
    ]  # fmt: skip


#: By name.
FIGURES: Final[Mapping[str, Figure]] = {figure.name: figure for figure in _table()}


def figures(result: Result) -> dict[str, float | None]:
    """All figures of a result by name; None of one that it does not have. ``regret`` can be ``inf``."""
    simulated = result["virtual_seconds"] is not None
    has = {"sim": simulated, "processor": not simulated, "workload": bool(result["areas"]), "counts": True, "": True}
    has["rates"] = result.get("best") is not None
    return {name: figure.of(result) if has[figure.needs] else None for name, figure in FIGURES.items()}


def lacking(figure: Figure, *, simulated: bool, workload: bool, counts: bool) -> str | None:
    """Why a run will not have ``figure``; None when it will.

    Args:
        figure: that is asked for.
        simulated: is the machine simulated?
        workload: is a workload played or performed?
        counts: does a module count what it acts on?
    """
    has = {"sim": simulated, "workload": workload, "counts": counts, "processor": not simulated}
    has["rates"] = simulated
    return None if has.get(figure.needs, True) else _NEEDS[figure.needs]
