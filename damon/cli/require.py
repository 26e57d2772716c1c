# SPDX-License-Identifier: GPL-2.0-only
"""``--require``: conditions that a run has to meet, for CI."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any, Final

from damon.errors import InvalidInput
from damon.model.machine import Machine
from damon.modules.module import Module
from damon.results.conditions import Checked, Condition, check, read_conditions
from damon.results.figures import FIGURES, figures, lacking

#: The exit code of a run that ended normally and does not meet a condition.
NOT_MET: Final = 4


def add(command: Any) -> None:
    """The option."""
    command.add_argument(
        "--require", metavar="CONDITIONS",
        help="end with 4 when the run does not meet these: FIGURE<VALUE, with <, <=, >, >= or ==, parted by commas; "
        f"figures: {', '.join(name for name, figure in FIGURES.items() if figure.needs != 'study')}",
    )  # fmt: skip


def read(text: str | None) -> Sequence[Condition]:
    """The conditions that were given; none where there are none."""
    return read_conditions(text, "--require") if text is not None else ()


def refuse_unknown(
    conditions: Sequence[Condition], modules: Sequence[Module], machine: Machine, workload: bool
) -> None:
    """Refuse a figure that the run will not have, before it starts."""
    from damon.mm.sim.machine import SimulatedMachine

    simulated = isinstance(machine, SimulatedMachine)
    wanted = [module for module in modules if module.wanted]
    counts = any(module.progress() is not None or module.needs()[1] for module in wanted)
    for condition in conditions:
        why = lacking(condition.figure, simulated=simulated, workload=workload, counts=counts)
        if why is not None:
            remedy = "" if "; give" in why else "; leave it out"
            raise InvalidInput(f"--require: {condition.figure.name}: {why}{remedy}")


def checked(conditions: Sequence[Condition], result: dict[str, Any]) -> Sequence[Checked]:
    """Each condition with its value, which become a field of ``result``."""
    found = check(conditions, figures(result))
    result["require"] = [one.as_object() for one in found]
    return found


def report(found: Sequence[Checked]) -> int:
    """Print those that are not met, a line each; the exit code."""
    failed = [one for one in found if not one.met]
    for one in failed:
        print(f"damon: --require: {one}", file=sys.stderr)
    return NOT_MET if failed else 0
