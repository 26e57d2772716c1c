# SPDX-License-Identifier: GPL-2.0-only
"""A page with the truth and what each monitor reported, side by side: one file, which loads nothing."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

import numpy as np

from damon.guests.accuracy.compare import Compared, Floats
from damon.guests.accuracy.figures import Figures, areas
from damon.guests.accuracy.run import Study
from damon.version import __version__


def html(study: Study, found: Mapping[str, Compared], rows: Mapping[str, Figures]) -> str:
    """The page.

    Raises:
        MissingCapability: jinja2 or matplotlib is not installed.
    """
    import jinja2

    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(resources.files(__package__).joinpath("page.html.j2").read_text())
    monitors = [
        {"name": name, "picture": _picture(one), "says": _says(name, rows[name]), "areas": areas(one, 12)}
        for name, one in found.items()
    ]
    return template.render(
        version=__version__, command=" ".join(study.command), kernel=study.kernel, monitors=monitors, rows=rows
    )


def _says(name: str, one: Figures) -> str:
    """The picture in words."""
    share = "-" if one.recall is None else f"{one.recall:.0%}"
    return (
        f"{name}: of {one.hot / 2**20:.1f} MiB hot it reported {share}, and {one.observed_hot / 2**20:.1f} MiB in all; "
        f"working set {one.used[0] / 2**20:.1f} MiB, reported {one.observed_used[0] / 2**20:.1f} MiB"
    )


def _picture(one: Compared) -> str:
    """Truth and report as two maps of time and address, a PNG as text."""
    from matplotlib.figure import Figure

    times = [moment.at_s for moment in one.moments]
    figure = Figure(figsize=(11, 4), layout="constrained")
    axes = figure.subplots(1, 2, sharey=True)
    image: Any = None
    for axis, title, cells in zip(axes, ("truth", "reported"), (one.true_picture, one.observed_picture), strict=True):
        extent = (0.0, 1.0, times[-1] - times[0], 0.0)
        image = axis.imshow(_even(cells), aspect="auto", extent=extent, vmin=0, vmax=1, cmap="viridis")
        axis.set_title(title)
        axis.set_xlabel("pages of the process, by address")
    axes[0].set_ylabel("s")
    figure.colorbar(image, ax=axes, label="share of sampling intervals with an access")
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=90)
    return base64.b64encode(out.getvalue()).decode()


def _even(cells: Sequence[Floats]) -> Floats:
    """Rows of the same length: a process after another may have fewer pages."""
    width = max(map(len, cells))
    found: Floats = np.array([np.pad(row, (0, width - len(row))) for row in cells])
    return found
