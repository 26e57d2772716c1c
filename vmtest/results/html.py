# SPDX-License-Identifier: GPL-2.0-only
"""A run as one HTML page that needs nothing from elsewhere, beside an earlier run if that is given."""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from ..errors import HarnessError, InvalidInput, MachineLacks
from . import live, manifest, stored, trust, writers
from .outcome import Outcome, Run, Status

TEMPLATE = Path(__file__).with_name("report.html.j2")
CONSOLE_LINES = 200
OUTPUT_CHARS = 20_000
#: Phases in the order they happen, for the bars.
PHASES = ("prepare", "boot", "login", "workload", "command", "evidence")
#: What a guest's directory may have, in the order of the links.
FILES = (
    *("console.log", "stdout", "stderr", "excerpt.txt", "manifest.json", "qemu.sh", "qemu.log", "kernel.config"),
    "vmcore",
)


@dataclass
class Detail:
    """What the page shows of one outcome beside the record itself.

    Attributes:
        command: what its guest did; ``workload``: what ran beside it.
        rerun: the command line that repeats it.
        links: names of its files, and where they are as seen from the page.
        console: its last lines, of one that did not end well.
        note: what could not be read.
    """

    outcome: Outcome
    command: str = ""
    workload: str = ""
    rerun: str = ""
    release: str = ""
    stdout: str = ""
    stderr: str = ""
    console: str = ""
    qemu: str = ""
    note: str = ""
    links: list[tuple[str, str]] = field(default_factory=list)


@dataclass(frozen=True)
class Change:
    """A job that ended otherwise than in an earlier run; empty texts: it was not in one of them."""

    name: str
    before: str
    now: str
    status: Status


def write(directory: Path, page: Path | None = None, earlier: Path | None = None) -> Path:
    """Renders the run of a directory.

    Args:
        directory: of a run.
        page: the file to write; default ``report.html`` in the directory.
        earlier: of another run, to compare with.

    Raises:
        InvalidInput: no run there, or the page cannot be written.
        MachineLacks: the template library is not installed.
    """
    run = writers.read(directory)
    page = page or directory / "report.html"
    text = render(run, directory, page, writers.read(earlier) if earlier else None)
    try:
        page.write_text(text, encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise InvalidInput(f"page: {str(page)!r}: cannot be written ({error.strerror}); give another") from error
    return page


def render(run: Run, directory: Path, page: Path, earlier: Run | None = None) -> str:
    """The page's text; ``page`` is where it will be, for its links."""
    try:
        import jinja2
    except ModuleNotFoundError as error:
        raise MachineLacks(
            "package: jinja2: is not installed; install it with: pip install 'pydamon[report]'"
        ) from error
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
        statuses=[status for status in Status if run.count(status)],
        earlier=earlier,
        earlier_summary=live.summary(earlier) if earlier else "",
        changes=changes(run, earlier) if earlier else [],
        details=[_detail(outcome, directory, page) for outcome in run.outcomes],
    )


def changes(run: Run, earlier: Run) -> list[Change]:
    """Jobs whose verdict differs from that of an earlier run, or that only one of them has, in the runs' order."""
    before = {outcome.name: outcome for outcome in earlier.outcomes}
    now = {outcome.name: outcome for outcome in run.outcomes}
    found = []
    for name, outcome in {**now, **{name: outcome for name, outcome in before.items() if name not in now}}.items():
        old, new = before.get(name), now.get(name)
        if old is None or new is None or (old.verdict, old.status) != (new.verdict, new.status):
            said = (old.verdict if old else "", new.verdict if new else "")
            found.append(Change(name, *said, new.status if new else outcome.status))
    return found


def _detail(outcome: Outcome, directory: Path, page: Path) -> Detail:
    detail = Detail(outcome)
    place = stored.below(directory, outcome.directory) if outcome.directory else None
    if place is None:
        detail.note = f"its files are not below {directory}: {outcome.directory}" if outcome.directory else ""
        return detail
    detail.stdout, detail.stderr = (stored.tail(place / name, OUTPUT_CHARS) for name in ("stdout", "stderr"))
    if not outcome.status.good:
        lines = stored.tail(place / "console.log", CONSOLE_LINES * 400).replace("\r", "").splitlines()
        detail.console = "\n".join(lines[-CONSOLE_LINES:])
    detail.qemu = stored.tail(place / "qemu.sh", OUTPUT_CHARS)
    base = os.path.relpath(place.resolve(), page.resolve().parent)
    detail.links = [(name, quote(f"{base}/{name}")) for name in FILES if stored.regular(place / name)]
    if stored.regular(place / manifest.NAME):
        _take_manifest(detail, place, directory)
    return detail


def _take_manifest(detail: Detail, place: Path, directory: Path) -> None:
    try:
        kept = manifest.read(place)
        needs_trust = bool(trust.choices(kept.job))
    except HarnessError as error:
        detail.note = str(error)
        return
    detail.command, detail.workload = kept.job.command, kept.job.workload
    detail.release = f"{kept.kernel_release} ({kept.accelerator}) on {kept.host}"
    words = ["vmtest", "rerun", str(directory / detail.outcome.directory), *(["--trust"] if needs_trust else [])]
    detail.rerun = shlex.join(words)
