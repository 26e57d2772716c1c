# SPDX-License-Identifier: GPL-2.0-only
"""One sample of 1000 regions by the set of docs/how-to/prototyping.md, plain and with NumPy, beside a native one.

All take turns; processor time counts. The sets in Python sample two pages of a region, the native one samples one.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

from benchmarks.bench_core import ROUNDS, NullSpace, context
from damon.model.context import DamonCtx
from damon.model.operations import Operations
from damon.ops import sampling
from examples.two_pages_arrays import TwoPagesArrays
from tests.prototyping import program


class Native(Operations):
    """What the kernel's sets do: every loop in C."""

    def prepare_access_checks(self, ctx: DamonCtx) -> None:
        sampling.prepare(ctx, ctx.targets[0], NullSpace())

    def check_accesses(self, ctx: DamonCtx) -> int:
        return sampling.check(ctx, ctx.targets[0], NullSpace())


class Space(NullSpace):
    """A process without memory."""

    pid = 1

    def alive(self) -> bool:
        return True

    def close(self) -> None: ...


def microseconds(ops: Operations) -> float:
    ctx = context(reference=False)
    ctx.targets[0].space = Space()

    def sample() -> None:
        ops.prepare_access_checks(ctx)
        ops.check_accesses(ctx)

    sample()
    began = time.thread_time()
    for _ in range(20):
        sample()
    return (time.thread_time() - began) / 20 * 1e6


def main() -> None:
    page = program()
    sets: dict[str, Callable[[], Operations]] = {
        "native": Native,
        "plain Python": page.TwoPages,
        "NumPy": TwoPagesArrays,
    }
    rounds = [{name: microseconds(make()) for name, make in sets.items()} for _ in range(ROUNDS)]
    print(f"{'1000 regions, one sample':<26}{'us':>8}{'ratio':>8}")
    for name in sets:
        took = statistics.median(row[name] for row in rounds)
        ratio = statistics.median(row[name] / row["native"] for row in rounds)
        print(f"{name:<26}{took:>8.0f}{ratio:>7.0f}x")


if __name__ == "__main__":
    main()
