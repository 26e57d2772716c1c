# SPDX-License-Identifier: GPL-2.0-only
"""From a suite to its jobs: kernels x machines x workloads x tests, what is included, less what is excluded."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import product

import msgspec

from ..errors import InvalidInput
from ..quoting import quoted
from ..results.job import Limits
from .model import Expectation, Kernel, Machine, Selector, Suite, Test, Workload

MAX_JOBS = 100_000


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
        InvalidInput: nothing is left, or there are more than ``MAX_JOBS``.
    """
    count = math.prod(len(names) for names in _axes(suite))
    if count > MAX_JOBS:
        raise InvalidInput(f"suite {suite.name!r}: {count} jobs, at most {MAX_JOBS} can be; make several suites of it")
    include = [_Chosen.of(suite, selector) for selector in suite.include or (Selector(),)]
    exclude = [_Chosen.of(suite, selector) for selector in suite.exclude]
    expect = [(item, _Chosen.of(suite, item.selector)) for item in suite.expect]
    cells = [
        _cell(suite, names, next((item for item, chosen in expect if names in chosen), None))
        for names in product(*_axes(suite))
        if any(names in chosen for chosen in include) and not any(names in chosen for chosen in exclude)
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
        raise InvalidInput(f"filter {quoted(words)} leaves none of {len(cells)} jobs, e.g. {cells[0].name!r}")
    return left


def _fits(cell: Cell, pattern: str) -> bool:
    if "/" in pattern:
        return fnmatchcase(cell.name, pattern)
    names = (cell.kernel_name, cell.machine_name, cell.workload_name, cell.test_name)
    return any(fnmatchcase(name, pattern) for name in names)


def _axes(suite: Suite) -> tuple[Collection[str], ...]:
    return tuple(suite.kernels), tuple(suite.machines), tuple(suite.workloads), tuple(suite.tests)


@dataclass(frozen=True)
class _Chosen:
    """What a selector matches on each axis. Patterns are matched once a name, not once a job."""

    axes: tuple[frozenset[str], ...]

    @classmethod
    def of(cls, suite: Suite, selector: Selector) -> _Chosen:
        patterns = (selector.kernel, selector.machine, selector.workload, selector.test)
        pairs = zip(_axes(suite), patterns, strict=True)
        return cls(tuple(frozenset(name for name in names if fnmatchcase(name, pattern)) for names, pattern in pairs))

    def __contains__(self, names: tuple[str, ...]) -> bool:
        return all(name in axis for name, axis in zip(names, self.axes, strict=True))


def _cell(suite: Suite, names: tuple[str, ...], expected: Expectation | None) -> Cell:
    kernel, machine, workload, test = names
    own = suite.tests[test].timeouts
    changed = {name: value for name, value in msgspec.structs.asdict(own).items() if value is not None}
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
        expected=Expected(expected.verdict, expected.reason) if expected else None,
    )
