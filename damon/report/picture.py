# SPDX-License-Identifier: GPL-2.0-only
"""SVG and PNG of runs by matplotlib: the heatmaps and the curves on one time axis. No browser is needed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from damon.report.curves import Chart, Curve
from damon.report.embed import merged
from damon.report.gather import Gathered, Map, gather
from damon.results.run import Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_WIDTH: Final = 11.0
_CHART: Final = 1.25
_MAP: Final = 3.4
_MAX_CHARTS: Final = 14
_ID: Final = re.compile(r'id="([a-z]+[0-9a-f]{10})"')
_USE: Final = re.compile(r'(id="|href="#|url\(#)([a-z]+[0-9a-f]{10})("|\))')
_STYLES: Final = ("-", "--", ":", "-.")
_SETTINGS: Final[dict[Any, Any]] = {
    "svg.hashsalt": "pydamon", "text.parse_math": False, "font.size": 8, "axes.spines.top": False,
    "axes.spines.right": False, "svg.fonttype": "none",
}  # fmt: skip


def write(runs: Sequence[Gathered], path: Path) -> None:
    """Write the picture of ``runs``; the ending of ``path`` is its kind, ``.svg`` or ``.png``.

    The same runs make the same picture with the same version of matplotlib.

    Raises:
        OSError: it cannot be written.
    """
    import matplotlib

    kind = path.suffix.lstrip(".").lower()
    with matplotlib.rc_context(_SETTINGS):
        figure = _figure(runs)
        metadata: dict[str, Any] = {"Date": None} if kind == "svg" else {"Software": None}
        figure.savefig(path, format=kind, dpi=110, metadata=metadata)
    if kind == "svg":
        path.write_text(_numbered(path.read_text(encoding="utf-8")), encoding="utf-8")


def _numbered(svg: str) -> str:
    """With ids by order: matplotlib makes those of clip paths from addresses of objects."""
    numbers: dict[str, str] = {}
    for found in _ID.findall(svg):
        numbers.setdefault(found, f"i{len(numbers)}")
    return _USE.sub(lambda match: match[1] + numbers.get(match[2], match[2]) + match[3], svg)


def figure(*runs: Run) -> Figure:
    """The picture of ``runs``, for notebooks: the heatmaps and the curves on one time axis.

    Raises:
        InvalidInput: a run was changed.
        OSError: it cannot be read.
    """
    import matplotlib

    names = [run.name or f"run {number}" for number, run in enumerate(runs, 1)]
    with matplotlib.rc_context(_SETTINGS):
        return _figure([gather(run, name) for run, name in zip(runs, names, strict=True)])


def _figure(runs: Sequence[Gathered]) -> Figure:
    from matplotlib.figure import Figure

    maps = [(one, found, true) for one in runs for found in one.maps for true in (False, True)[: _parts(found)]]
    charts = merged([list(one.charts) for one in runs])[:_MAX_CHARTS]
    heights = [_MAP / _parts(found) for _, found, _ in maps] + [_CHART] * len(charts) or [_CHART]
    figure = Figure(figsize=(_WIDTH, sum(heights) + 0.6), layout="constrained")
    axes = figure.subplots(len(heights), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0]
    for place, (one, found, true) in zip(axes, maps, strict=False):
        _heatmap(figure, place, found, true, one.name if len(runs) > 1 else "")
    for place, (first, places) in zip(axes[len(maps) :], charts, strict=False):
        place.set_title(f"{first.title} ({first.unit})", loc="left", fontsize=8)
        curves = [(run, nth, curve) for run, at in places for nth, curve in enumerate(runs[run].charts[at].curves[:12])]
        _curves(place, curves, [one.name for one in runs], first)
    axes[-1].set_xlabel("s")
    axes[-1].set_xlim(0, max((one.seconds for one in runs), default=1) or 1)
    return figure


def _parts(found: Map) -> int:
    return 1 if found.truth is None else 2


def _heatmap(figure: Figure, axes: Any, found: Map, true: bool, run: str) -> None:
    from matplotlib.colors import PowerNorm

    grid = found.grid
    share = found.truth if true and found.truth is not None else found.share
    top = max(float(np.nanmax(one, initial=0.0)) for one in (found.share, found.truth) if one is not None) or 1.0
    axes.set_facecolor("#dfe3e8")
    drawn = axes.imshow(
        100 * share.T, origin="lower", aspect="auto", interpolation="nearest", cmap="YlOrRd",
        norm=PowerNorm(0.5, 0, 100 * top), extent=(grid.start_ns / 1e9, grid.end_ns / 1e9, 0, grid.space.size),
    )  # fmt: skip
    figure.colorbar(drawn, ax=axes, pad=0.01, label="% of samples", aspect=12)
    what = "truth" if true else f"DAMON's view, {found.context.ops}"
    axes.set_title(", ".join(filter(None, (run, what))), loc="left", fontsize=8)
    axes.set_ylim(0, grid.space.size)
    named = sorted(found.named, key=lambda one: one.low - one.high)[:20]
    axes.set_yticks([(one.low + one.high) / 2 for one in named], [one.name[:24] for one in named])
    if not true:
        acted = found.actions
        axes.vlines(acted.time, acted.low, acted.high, colors="#0057d9", linewidth=1)


def _curves(axes: Any, curves: Sequence[tuple[int, int, Curve]], names: Sequence[str], first: Chart) -> None:
    several = len(names) > 1
    for index, (run, nth, curve) in enumerate(curves):
        label = ", ".join(filter(None, (names[run] if several else "", curve.name)))
        axes.plot(
            curve.x, curve.y, label=f"{label} ", linewidth=1.2, drawstyle="steps-post" if first.steps else "default",
            color=f"C{(run if several else index) % 10}", linestyle=_STYLES[(nth if several else index // 10) % 4],
        )  # fmt: skip
    if first.log:
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter("{x:g}")
    elif first.zero:
        axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    if len(curves) > 1:
        axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize=6, frameon=False)
