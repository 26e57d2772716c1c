# SPDX-License-Identifier: GPL-2.0-only
"""A run as one HTML page that needs nothing from elsewhere."""

from __future__ import annotations

from pathlib import Path

from ..errors import InvalidInput, MachineLacks
from . import live, manifest, writers
from .outcome import Outcome, Run

TEMPLATE = Path(__file__).with_name("report.html.j2")
CONSOLE_LINES = 200
OUTPUT_CHARS = 20_000
#: Phases in the order they happen, for the bars.
PHASES = ("prepare", "boot", "login", "workload", "command", "evidence")


def write(folder: Path, page: Path | None = None) -> Path:
    """Renders the run of a folder.

    Args:
        folder: of a run.
        page: the file to write; default ``report.html`` in the folder.

    Raises:
        InvalidInput: no run there, or the page cannot be written.
        MachineLacks: the template library is not installed.
    """
    run = writers.read(folder)
    text = render(run, folder)
    page = page or folder / "report.html"
    try:
        page.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InvalidInput(f"page {str(page)!r} cannot be written ({error.strerror}); give another") from error
    return page


def render(run: Run, folder: Path) -> str:
    """The page's text."""
    try:
        import jinja2
    except ModuleNotFoundError as error:
        raise MachineLacks("jinja2 is not installed; install it with: pip install 'pydamon[report]'") from error
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    template = environment.from_string(TEMPLATE.read_text("utf-8"))
    columns = list(dict.fromkeys((outcome.kernel, outcome.machine) for outcome in run.outcomes))
    rows = list(dict.fromkeys((outcome.workload, outcome.test) for outcome in run.outcomes))
    longest = max((outcome.seconds for outcome in run.outcomes), default=1.0) or 1.0
    return template.render(
        run=run,
        summary=live.summary(run),
        columns=columns,
        rows=rows,
        cells={(o.kernel, o.machine, o.workload, o.test): o for o in run.outcomes},
        cell=live.cell,
        phases=PHASES,
        longest=longest,
        details=[_detail(outcome, folder) for outcome in run.outcomes],
    )


def _detail(outcome: Outcome, folder: Path) -> dict[str, object]:
    place = folder / outcome.folder if outcome.folder else None
    found: dict[str, object] = {
        "outcome": outcome,
        "stdout": "",
        "stderr": "",
        "console": "",
        "qemu": "",
        "release": "",
    }
    if place is None:
        return found
    for name in ("stdout", "stderr"):
        found[name] = _read(place / name)[-OUTPUT_CHARS:]
    if not outcome.status.good:
        lines = _read(place / "console.log").replace("\r", "").splitlines()
        found["console"] = "\n".join(lines[-CONSOLE_LINES:])
    if (place / manifest.NAME).exists():
        kept = manifest.read(place)
        found["qemu"] = _read(place / "qemu.sh")
        found["release"] = f"{kept.kernel_release} ({kept.accelerator}) on {kept.host}"
    return found


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8", errors="replace")
    except OSError:
        return ""
