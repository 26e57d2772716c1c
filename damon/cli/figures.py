# SPDX-License-Identifier: GPL-2.0-only
"""The table of ``damon compare``: the same figures for each engine and machine."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from damon.cli import output
from damon.quoting import cut
from damon.results.figures import NO_COUNTS, SIMULATED_CPU

COLUMNS: Final = (
    "workload", "engine", "applied", "reclaimed", "hot kept", "refaults", "slowdown", "CPU", "first difference",
)  # fmt: skip
#: Why there is none, by figure.
REAL_TIME: Final = "in a guest time is real: no two runs have the same samples"


def missing(run: dict[str, Any], beside_guests: bool) -> dict[str, str]:
    """The figures that a run has not, or that cannot stand beside those of others, and why."""
    found = {}
    if run["tried_bytes"] is None:
        found["tried_bytes"] = found["applied_bytes"] = NO_COUNTS
    if "guest" in run:
        found["difference"] = REAL_TIME
    elif beside_guests:
        found["kdamond_cpu_seconds"] = SIMULATED_CPU
    return found


def row(run: dict[str, Any]) -> Sequence[str]:
    """The cells of one run, in the order of ``COLUMNS``."""

    def cell(name: str, text: Any) -> str:
        return "-" if name in run["missing"] else str(text(run[name]))

    hot = f"{run['hot_bytes_kept'] / run['hot_bytes']:.1%}" if run["hot_bytes"] else "-"
    parted = run["difference"]
    return (
        Path(run["workload"]).name, run["asked"], cell("applied_bytes", output.size),
        output.size(run["reclaimed_bytes"]), hot, str(run["refaults"]),
        "-" if run["slowdown"] is None else f"{run['slowdown']:.4f}",
        cell("kdamond_cpu_seconds", lambda seconds: f"{seconds:.2f} s"),
        f"{parted['time_s']:.3f} s, {parted['field']}" if parted else "-",
    )  # fmt: skip


def notes(runs: Sequence[dict[str, Any]]) -> list[str]:
    """Below the table: which version each engine is, and the reason of each ``-`` that has one."""
    titles = {"difference": "first difference", "kdamond_cpu_seconds": "CPU", "applied_bytes": "applied"}
    versions = {f"{run['asked']}: {_version(run)}": None for run in runs}
    reasons = {
        f"no {titles[figure]}: {why}": None
        for run in runs
        for figure, why in run["missing"].items()
        if figure in titles
    }
    return [*versions, *reasons]


def _version(run: dict[str, Any]) -> str:
    version, origin, digest = (run["engine"][key] for key in ("version", "origin", "sha256"))
    if "guest" not in run:
        return f"{origin}, sha256 {digest[:12]}" if digest else str(version)
    pace = ", its time counted in instructions" if run["guest"]["counted"] else ""
    return cut(f"{version}, kernel {run['guest']['kernel']}{pace}")
