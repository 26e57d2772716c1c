# SPDX-License-Identifier: GPL-2.0-only
"""``damon why``: what kept the schemes of a run from their work, and what to change."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any, Final

from damon.cli import output
from damon.errors import InvalidInput

DESCRIPTION: Final = """\
Explain what the schemes of a run did. The table has the memory that fits each scheme, in the mean over all
aggregations, and how much of it gets to each stage: in truth (known on the simulated machine), in monitored regions,
with the scheme active, observed with the wanted frequency, old enough, within the size bounds, not left out by quota
or priority, tried (core filters), past the operations set's filters, applied, and come back. One sentence names the
cause with its numbers, and one the remedy. The run has to be recorded with --why.
"""
EPILOG: Final = """\
examples:
  damon run --module damon_reclaim --sim hot-cold --duration 60 --out run1 --why
  damon why run1
"""
_TITLES: Final = {
    "eligible": "eligible in truth", "monitored": "in monitored regions", "active": "while the scheme is active",
    "observed": "observed with the frequency", "old_enough": "old enough", "right_size": "within the size bounds",
    "in_quota": "within quota and priority", "tried": "tried (core filters)", "ops_passed": "past operations filters",
    "applied": "applied", "came_back": "came back",
}  # fmt: skip


def add(commands: Any) -> None:
    command = commands.add_parser(
        "why",
        help="explain what the schemes of a run did",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("run", metavar="RUN", help="directory of --out")
    command.add_argument("--json", metavar="FILE", help="write the explanations as one object; - for standard output")
    command.set_defaults(function=run)


def run(arguments: argparse.Namespace) -> int:
    """The exit code."""
    from damon.results.run import Run
    from damon.results.why import explain

    if arguments.json is not None:
        output.check_writable(arguments.json)
    found = Run.open(arguments.run)
    if found.request.get("why") is not True:
        raise InvalidInput(f"{arguments.run}: was recorded without --why; run it again with --out DIR --why")
    explanations = list(explain(found))
    if arguments.json is not None:
        output.write_json(arguments.json, {"format": 1, "schemes": [one.as_object() for one in explanations]})
        if arguments.json == "-":
            return 0
    if not explanations:
        print("no scheme ran")
    for one in explanations:
        print(f"context {one.context}, scheme {one.scheme} ({one.action}): {one.cause.value}")
        output.table(("stage", "mean", "of the first"), _rows(one.stages))
        print(f"{one.sentence}.\nRemedy: {one.remedy}.")
    return 0


def _rows(stages: Any) -> Sequence[Sequence[str]]:
    whole = next((value for value in stages.values() if value), None)
    rows = []
    for name, value in stages.items():
        if value is not None:
            bar = "#" * round(24 * min(value / whole, 1.0)) if whole else ""
            rows.append((_TITLES[name], output.size(value), bar))
    return rows
