# SPDX-License-Identifier: GPL-2.0-only
"""The table of what works where: rows in ``features.yaml``, outcomes from test runs, the page ``docs/features.md``.

As a pytest plugin (loaded by conftest) with ``--outcomes FILE`` it adds a run's outcomes to FILE; ``python -m
tests.features FILE`` writes the page from them.
"""

from __future__ import annotations

import ast
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

HERE = Path(__file__).parent
ROWS = HERE / "features.yaml"
PAGE = HERE.parent / "docs/features.md"
HEAD = """\
# What works where

Written by `make features` from the outcomes of the last `make test`. "Real page tables" are those of a guest's kernel.
Where both columns name the same test, the machine makes no difference, and the test runs on memory that it dictates.
"""


@dataclass(frozen=True)
class Cell:
    """``test``: a node id below ``tests/``; else only ``words``."""

    words: str
    test: str = ""


@dataclass(frozen=True)
class Row:
    group: str
    feature: str
    sim: Cell
    linux: Cell


def _cell(text: str) -> Cell:
    return Cell("", text) if "::" in text else Cell(text)


def rows() -> list[Row]:
    """All rows, in the order of the file."""
    result = []
    for part in yaml.safe_load(ROWS.read_text()):
        ((group, entries),) = part.items()
        for entry in entries:
            both = entry.get("both", "")
            sim, linux = (_cell(entry.get(machine, both)) for machine in ("sim", "linux"))
            result.append(Row(group, entry["feature"], sim, linux))
    return result


def tests_in(path: Path) -> set[str]:
    """The test functions of a file."""
    tree = ast.parse(path.read_text())
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name.startswith("test")}


def _said(cell: Cell, outcomes: dict[str, str]) -> str:
    if not cell.test:
        return {"open": "not built"}.get(cell.words, cell.words)
    path, _, name = cell.test.partition("::")
    found = {
        outcome
        for node, outcome in outcomes.items()
        if node == f"tests/{cell.test}" or node.startswith(f"tests/{cell.test}[")
    }
    word = "**fails**" if "failed" in found else "works" if found == {"passed"} else "not run"
    # Brackets within a link's text are not for every reader of Markdown.
    shown = name.removeprefix("test_").removeprefix("in_guest[").rstrip("]").replace("[", ": ")
    return f"{word} ([{shown}](../tests/{path}))"


def page(outcomes: dict[str, str]) -> str:
    """The Markdown page."""
    text, group = [HEAD], ""
    for row in rows():
        if row.group != group:
            group = row.group
            text += [f"\n## {group}\n", "| feature | simulated machine | real page tables |", "|---|---|---|"]
        text.append(f"| {row.feature} | {_said(row.sim, outcomes)} | {_said(row.linux, outcomes)} |")
    return "\n".join(text) + "\n"


class Outcomes:
    """Collects a run's outcomes (under xdist, in the process that gets all reports)."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: dict[str, str] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" or report.outcome != "passed":
            self._seen[report.nodeid] = report.outcome

    def pytest_sessionfinish(self) -> None:
        before: dict[str, str] = json.loads(self._path.read_text()) if self._path.exists() else {}
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.write_text(json.dumps(before | self._seen, indent=1))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--outcomes", metavar="FILE", help="add each test's outcome to this file, for docs/features.md")


def pytest_configure(config: pytest.Config) -> None:
    path: Any = config.getoption("--outcomes")
    if path and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Outcomes(Path(path)))


def named_tests() -> Iterator[str]:
    """Each test that the table names."""
    for row in rows():
        for cell in (row.sim, row.linux):
            if cell.test:
                yield cell.test


if __name__ == "__main__":
    PAGE.write_text(page(json.loads(Path(sys.argv[1]).read_text())))
    print(PAGE)
