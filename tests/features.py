# SPDX-License-Identifier: GPL-2.0-only
"""The table of what works where: rows in ``features.yaml``, outcomes of tests, the page ``docs/reference/features.md``.

As a pytest plugin (loaded by conftest) with ``--outcomes FILE`` it adds a run's outcomes to FILE; ``python -m
tests.features FILE...`` writes the page from them, or lists the tests that it names and that have none.
"""

from __future__ import annotations

import enum
import json
import re
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.documentation import DOCS, anchors

HERE = Path(__file__).parent
ROWS = HERE / "features.yaml"
PAGE = DOCS / "reference/features.md"
GUESTS = "vm/"
HEAD = """\
# What works where

For users who need to know whether a feature is tested, and on what. `make features` writes this
page from the outcomes of test runs: "works" is a test that passed. In the column "simulated
machine" the named test runs on that machine, or it dictates the content of memory. In "real page
tables":

- **run in a guest**: the named test ran in a QEMU guest, on the page tables of its kernel;
- **partial**: it ran in a guest, and has a limit, which the link explains;
- **independent of the machine**: the named test dictates the content of memory, so its result is
  the same on every machine;
- **no**: user space cannot do it, or it does not exist, for the given reason.
"""


class State(enum.Enum):
    """What a row claims of real page tables; it follows from the row's test and limit, and is nowhere written."""

    GUEST = "run in a guest"
    PARTIAL = "partial"
    INDEPENDENT = "independent of the machine"
    NO = "no"


@dataclass(frozen=True)
class Row:
    """``sim``, ``linux``: a node id below ``tests/``, or "no: why". ``lacks``: what real page tables do not give;
    ``limit``: page (below ``docs/``) and section with the reason."""

    group: str
    feature: str
    sim: str
    linux: str
    lacks: str = ""
    limit: str = ""

    @property
    def state(self) -> State:
        if not is_test(self.linux):
            return State.NO
        if not self.linux.startswith(GUESTS):
            return State.INDEPENDENT
        return State.PARTIAL if self.lacks else State.GUEST


class NoOutcome(Exception):
    """Tests that the table names have not run."""


def is_test(cell: str) -> bool:
    return "::" in cell


def _row(group: str, entry: Mapping[str, str]) -> Row:
    sim, linux = (entry.get(machine, entry.get("both", "")) for machine in ("sim", "linux"))
    return Row(group, entry["feature"], sim, linux, entry.get("lacks", ""), entry.get("limit", ""))


def rows() -> list[Row]:
    """All rows, in the order of the file."""
    parts = [part.items() for part in yaml.safe_load(ROWS.read_text())]
    return [_row(group, entry) for ((group, entries),) in parts for entry in entries]


def faults(row: Row) -> Iterator[str]:
    """What a row claims without showing it."""
    for cell in (row.sim, row.linux):
        if not is_test(cell) and not re.match("no: .", cell):
            yield "names neither a test nor a reason"
    if is_test(row.sim) and row.sim.startswith(GUESTS):
        yield "its test of the simulated machine is one for a guest"
    if row.state is State.INDEPENDENT and (row.lacks or row.limit):
        yield "has a limit, and its test does not run in a guest"
    if row.state is State.GUEST and row.limit:
        yield "has a link to a limit, and does not say what is lacking"
    if row.state is State.PARTIAL and not row.limit:
        yield "has a limit without a link"
    if row.limit:
        page, _, section = row.limit.partition("#")
        if not (DOCS / page).is_file() or section not in anchors(DOCS / page):
            yield f"its limit {row.limit!r} is no section of the documentation"


def node_ids(test: str, outcomes: Mapping[str, str]) -> list[str]:
    """Of the tests that ran, those that ``test`` means: itself, or each of its parameters."""
    return [node for node in outcomes if node == f"tests/{test}" or node.startswith(f"tests/{test}[")]


def outcome(test: str, outcomes: Mapping[str, str]) -> str:
    """How the test went: "works" or "fails"; nothing where it, or one of its parameters, did not run to its end."""
    found = {outcomes[node] for node in node_ids(test, outcomes)}
    return "**fails**" if "failed" in found else "works" if found == {"passed"} else ""


def _shown(cell: str, outcomes: Mapping[str, str]) -> str:
    if not is_test(cell):
        return cell
    path, _, name = cell.partition("::")
    # Brackets within a link's text are not for every reader of Markdown.
    shown = name.removeprefix("test_").removeprefix("in_guest[").rstrip("]").replace("[", ": ")
    return f"{outcome(cell, outcomes)} ([{shown}](../../tests/{path}))"


def _on_linux(row: Row, outcomes: Mapping[str, str]) -> str:
    limit = f" ([why](../{row.limit}))" if row.limit else ""
    if row.state is State.NO:
        return row.linux + limit
    lacks = f"; {row.lacks}{limit}" if row.lacks else ""
    return f"{row.state.value}: {_shown(row.linux, outcomes)}{lacks}"


def counts(table: list[Row]) -> str:
    """How many rows are in each state, in words."""
    states = Counter(row.state for row in table)
    return f"Of {len(table)} rows: " + ", ".join(f"{states[state]} {state.value}" for state in State) + "."


def page(outcomes: Mapping[str, str]) -> str:
    """The Markdown page.

    Raises:
        NoOutcome: a test that it names is not among the outcomes, or was skipped.
    """
    missing = sorted({test for test in named_tests() if not outcome(test, outcomes)})
    if missing:
        raise NoOutcome("\n".join(f"tests/{test}: no outcome: run it with --outcomes" for test in missing))
    table = rows()
    text, group = [HEAD, counts(table)], ""
    for row in table:
        if row.group != group:
            group = row.group
            text += [f"\n## {group}\n", "| feature | simulated machine | real page tables |", "|---|---|---|"]
        text.append(f"| {row.feature} | {_shown(row.sim, outcomes)} | {_on_linux(row, outcomes)} |")
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
    parser.addoption(
        "--outcomes", metavar="FILE", help="add the tests' outcomes to this file, for docs/reference/features.md"
    )


def pytest_configure(config: pytest.Config) -> None:
    path: Any = config.getoption("--outcomes")
    if path and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Outcomes(Path(path)))


def named_tests() -> Iterator[str]:
    """Each test that the table names."""
    return (cell for row in rows() for cell in (row.sim, row.linux) if is_test(cell))


def main(files: list[str]) -> int:
    """Write the page from the outcomes in ``files``, of which later ones win; write nothing without all of them."""
    outcomes: dict[str, str] = {}
    for file in files:
        outcomes |= json.loads(Path(file).read_text())
    try:
        text = page(outcomes)
    except NoOutcome as error:
        print(error, file=sys.stderr)
        return 1
    PAGE.write_text(text)
    print(f"{PAGE}: {counts(rows())}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
