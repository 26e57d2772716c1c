# SPDX-License-Identifier: GPL-2.0-only
"""From a suite to its jobs: kernels x machines x workloads x tests, what is included, less what is excluded."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import product

from msgspec.structs import asdict, replace

from ..errors import InvalidInput
from ..quoting import quoted
from ..results.job import TO_FIND, Job
from ..results.outcome import Expected
from .model import Expectation, Selector, Suite

MAX_JOBS = 100_000


def expand(suite: Suite, filters: Sequence[str] = ()) -> list[Job]:
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
    made = [
        _job(suite, names, next((item for item, chosen in expect if names in chosen), None))
        for names in product(*_axes(suite))
        if any(names in chosen for chosen in include) and not any(names in chosen for chosen in exclude)
    ]
    if not made:
        raise InvalidInput(f"suite {suite.name!r}: include and exclude leave no job; loosen them")
    wanted = [pattern for pattern in filters if not pattern.startswith("!")]
    unwanted = [pattern[1:] for pattern in filters if pattern.startswith("!")]
    left = [
        job
        for job in made
        if (not wanted or any(_fits(job, pattern) for pattern in wanted))
        and not any(_fits(job, pattern) for pattern in unwanted)
    ]
    if not left:
        words = " ".join(filters)
        raise InvalidInput(
            f"filter: {quoted(words)}: leaves none of {len(made)} jobs; give one that matches e.g. {made[0].name!r}"
        )
    return left


def _fits(job: Job, pattern: str) -> bool:
    if "/" in pattern:
        return fnmatchcase(job.name, pattern)
    names = (job.kernel_name, job.machine_name, job.workload_name, job.test_name)
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


def _job(suite: Suite, names: tuple[str, ...], known: Expectation | None) -> Job:
    kernel, machine, workload, test = names
    beside, task = suite.workloads[workload], suite.tests[test]
    limits = {name: value for name, value in asdict(task.timeouts).items() if value is not None}
    # A manifest has what differs from the defaults.
    plain = asdict(type(suite.machines[machine])())
    changed = {name: value for name, value in asdict(suite.machines[machine]).items() if value != plain[name]}
    append = " ".join(word for word in (suite.kernels[kernel].append, changed.pop("append", "")) if word)
    return Job(
        suite=suite.name,
        kernel_name=kernel,
        machine_name=machine,
        workload_name=workload,
        test_name=test,
        kernel=TO_FIND,
        rootfs=TO_FIND,
        machine_args=changed,
        append=append,
        env={**suite.env, **beside.env, **task.env},
        workload=beside.command,
        ready=beside.ready,
        command=task.command,
        exit=task.exit,
        skip_exit=task.skip_exit,
        cwd=task.cwd,
        output=task.output,
        tolerate=task.tolerate,
        limits=replace(suite.timeouts, **limits),
        expected=Expected(known.verdict, known.reason) if known else None,
    )
