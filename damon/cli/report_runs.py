# SPDX-License-Identifier: GPL-2.0-only
"""``damon report`` of run directories, and of records as runs: an HTML page, a picture, Parquet files, or tables and
heatmaps in the terminal."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final

from damon.cli import output
from damon.cli.heatmap import columns, show
from damon.errors import InvalidInput, MissingCapability
from damon.quoting import cut

if TYPE_CHECKING:
    from damon.report.differences import Row
    from damon.report.gather import Gathered, Map

#: Packages of the extra ``report``, by what needs them.
_NEEDS: Final = {"output": ("numpy", "jinja2", "plotly"), "picture": ("numpy", "matplotlib"), "text": ("numpy",)}
_PICTURES: Final = {"svg": ".svg", "png": ".png"}


def check(arguments: argparse.Namespace) -> None:
    """Refuse what cannot be made of run directories, before any is read."""
    from damon.results.directory import check_place

    if arguments.json:
        raise InvalidInput("--json: is for files of records; leave it out")
    other = next((path for path in arguments.file if not os.path.exists(path)), None)
    if other is not None:
        raise InvalidInput(f"run: {other!r}: is missing; give directories of `damon run --out`, or files of records")
    needs = set(_NEEDS["text"])
    if arguments.output is not None:
        needs |= set(_NEEDS["output"])
        output.check_writable(arguments.output, "-o")
    for option in _PICTURES:
        if getattr(arguments, option) is not None:
            needs |= set(_NEEDS["picture"])
            output.check_writable(getattr(arguments, option), f"--{option}")
    if arguments.parquet is not None:
        check_place(Path(arguments.parquet), "--parquet")
        needs = {"pyarrow"}
        if len(arguments.file) > 1:
            raise InvalidInput(f"--parquet: is for one run, not for {len(arguments.file)}; give one")
        if arguments.output is not None or any(getattr(arguments, option) is not None for option in _PICTURES):
            raise InvalidInput("--parquet: writes tables only; leave out -o, --svg and --png")
    _check_installed(needs, "report" if arguments.parquet is None else "results")


def check_page() -> None:
    """Refuse a page of runs where a package that it needs is not installed."""
    _check_installed(_NEEDS["output"], "report")


def _check_installed(needs: Iterable[str], extra: str) -> None:
    missing = sorted(name for name in needs if find_spec(name) is None)
    if missing:
        raise MissingCapability(f"{', '.join(missing)}: is not installed; install pydamon[{extra}]")


def report(arguments: argparse.Namespace) -> int:
    """The exit code; 1 if the end of a run could not be read."""
    check(arguments)
    from damon.report import page
    from damon.report.gather import gather
    from damon.results.run import Run

    limits = page.limits(len(arguments.file))
    with tempfile.TemporaryDirectory(prefix="damon-report-") as scratch:
        if arguments.parquet is not None:
            return _parquet(arguments, Path(scratch))
        runs = [
            gather(Run.open(_directory(path, Path(scratch, str(number)))), name, limits)
            for number, (path, name) in enumerate(zip(arguments.file, _names(arguments.file), strict=True))
        ]
    if arguments.output is not None:
        output.write_text(arguments.output, page.html(runs), "-o")
    for option, suffix in _PICTURES.items():
        if getattr(arguments, option) is not None:
            _picture(runs, Path(getattr(arguments, option)), suffix, option)
    if arguments.output is None and not any(getattr(arguments, option) for option in _PICTURES):
        with output.reader_may_leave():
            _print(runs, arguments)
    damaged = [f"{one.name}: {one.run.damaged}" for one in runs if one.run.damaged is not None]
    for why in damaged:
        print(f"damon: {why}; this is what came before", file=sys.stderr)
    return 1 if damaged else 0


def _parquet(arguments: argparse.Namespace, scratch: Path) -> int:
    from damon.results.parquet import write_parquet
    from damon.results.run import Run

    run = Run.open(_directory(arguments.file[0], scratch / "run"))
    for path in write_parquet(run, Path(arguments.parquet)):
        print(path)
    if run.damaged is not None:
        print(f"damon: {run.damaged}; this is what came before", file=sys.stderr)
    return 1 if run.damaged is not None else 0


def _directory(path: str, made: Path) -> str | Path:
    """The run directory ``path``; of a file of records ``made``, which is made."""
    if os.path.isdir(path):
        return path
    from damon.progress import Progress
    from damon.results.records import record_to_run

    with Progress(f"read {os.path.basename(path)}") as progress:
        record_to_run(Path(path), made, progress=progress.update)
    return made


def _names(paths: Sequence[str]) -> list[str]:
    """The directories' names, with what comes before where they are not enough."""
    names = [os.path.basename(os.path.abspath(path)) for path in paths]
    if len(set(names)) < len(names):
        names = [os.path.normpath(path) for path in paths]
    if len(set(names)) < len(names):
        names = [f"{name} ({number})" for number, name in enumerate(names, 1)]
    return [cut(name.encode(errors="replace").decode(), 60) for name in names]


def _picture(runs: Sequence[Gathered], path: Path, suffix: str, option: str) -> None:
    from damon.report import picture

    with tempfile.TemporaryDirectory() as scratch:
        made = Path(scratch) / f"picture{suffix}"
        picture.write(runs, made)
        output.write_bytes(str(path), made.read_bytes(), f"--{option}")


def _print(runs: Sequence[Gathered], arguments: argparse.Namespace) -> None:
    from damon.report import differences

    several = len(runs) > 1
    for one in runs:
        if not several or one.maps:
            print(f"{one.name}: {one.seconds:g} s, {one.run.state}" + ("" if one.maps else "; it has no regions"))
        for found in one.maps:
            _heatmap(found, arguments)
    rows = [row for row in differences.figures(runs) if any(value is not None for value in row.values)]
    columns = [text for one in runs for text in ((one.name, "compared") if one is not runs[0] else (one.name,))]
    if several:
        changed = [row for row in differences.parameters(runs) if row.differs]
        if changed:
            output.table(["parameter", *(one.name for one in runs)], [[row.name, *row.texts()] for row in changed])
    output.table(["figure", *columns], [[_titled(row), *_paired(row)] for row in rows])


def _titled(row: Row) -> str:
    return f"{row.name} ({row.unit})" if row.unit else row.name


def _paired(row: Row) -> list[str]:
    """Each value, and after all but the first how it differs."""
    first, *others = row.texts()
    return [first, *(text for pair in zip(others, row.changes(), strict=True) for text in pair)]


def _heatmap(found: Map, arguments: argparse.Namespace) -> None:
    from damon.report.terminal import summaries

    for summary, known in summaries(found, arguments.rows, columns(arguments)):
        show(summary, known, arguments.absolute)
