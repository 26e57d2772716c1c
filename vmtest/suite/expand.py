# SPDX-License-Identifier: GPL-2.0-only
"""From a suite to its jobs: kernels x machines x workloads x tests, what is included, less what is excluded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

import msgspec

from ..errors import InvalidInput
from .model import Kernel, Limits, Machine, Suite, Test, Workload


@dataclass(frozen=True)
class Expected:
    """What a job is known to end with, and why."""

    verdict: str
    reason: str


@dataclass(frozen=True)
class Cell:
    """One place of the matrix: what one guest is made of and what it does."""

    suite: str
    kernel_name: str
    machine_name: str
    workload_name: str
    test_name: str
    kernel: Kernel
    machine: Machine
    workload: Workload
    test: Test
    limits: Limits
    env: dict[str, str]
    expected: Expected | None

    @property
    def name(self) -> str:
        """``kernel/machine/workload/test``."""
        return "/".join((self.kernel_name, self.machine_name, self.workload_name, self.test_name))


def expand(suite: Suite, filters: Sequence[str] = ()) -> list[Cell]:
    """The jobs in the file's order.

    Args:
        suite: a loaded suite.
        filters: shell patterns of job names; a job that fits one of them stays. Without "/", a pattern is of any of the
            four names; a leading "!" takes jobs away.

    Raises:
        InvalidInput: nothing is left.
    """
    cells = [
        _cell(suite, kernel, machine, workload, test)
        for kernel in suite.kernels
        for machine in suite.machines
        for workload in suite.workloads
        for test in suite.tests
        if _included(suite, (kernel, machine, workload, test))
    ]
    if not cells:
        raise InvalidInput(f"suite {suite.name!r}: include and exclude leave no job; loosen them")
    wanted = [pattern for pattern in filters if not pattern.startswith("!")]
    unwanted = [pattern[1:] for pattern in filters if pattern.startswith("!")]
    left = [
        cell
        for cell in cells
        if (not wanted or any(_fits(cell, pattern) for pattern in wanted))
        and not any(_fits(cell, pattern) for pattern in unwanted)
    ]
    if not left:
        words = " ".join(filters)
        raise InvalidInput(f"filter {words!r} leaves none of {len(cells)} jobs; their names are like {cells[0].name!r}")
    return left


def _fits(cell: Cell, pattern: str) -> bool:
    if "/" in pattern:
        return fnmatchcase(cell.name, pattern)
    names = (cell.kernel_name, cell.machine_name, cell.workload_name, cell.test_name)
    return any(fnmatchcase(name, pattern) for name in names)


def _included(suite: Suite, names: tuple[str, str, str, str]) -> bool:
    if suite.include and not any(selector.matches(*names) for selector in suite.include):
        return False
    return not any(selector.matches(*names) for selector in suite.exclude)


def _cell(suite: Suite, kernel: str, machine: str, workload: str, test: str) -> Cell:
    own = suite.tests[test].timeouts
    changed = {name: value for name, value in msgspec.structs.asdict(own).items() if value is not None}
    expected = next(
        (
            Expected(item.verdict, item.reason)
            for item in suite.expect
            if item.selector.matches(kernel, machine, workload, test)
        ),
        None,
    )
    return Cell(
        suite=suite.name,
        kernel_name=kernel,
        machine_name=machine,
        workload_name=workload,
        test_name=test,
        kernel=suite.kernels[kernel],
        machine=suite.machines[machine],
        workload=suite.workloads[workload],
        test=suite.tests[test],
        limits=msgspec.structs.replace(suite.timeouts, **changed),
        env={**suite.env, **suite.workloads[workload].env, **suite.tests[test].env},
        expected=expected,
    )
