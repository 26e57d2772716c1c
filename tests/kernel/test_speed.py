# SPDX-License-Identifier: GPL-2.0-only
"""What a sample costs is counted, not timed: on a simulated machine the kernel's C needs no Python for it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

import damon
from damon.kernel.engine import KernelDamon
from damon.mm.sim import SimulatedMachine
from damon.workload.load import load_workload
from tests.kernel.trees import built


@pytest.mark.parametrize("ops", ["paddr", "vaddr"])
def test_samples_need_no_python(ops: str, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: Counter[str] = Counter()
    guarded = KernelDamon._guarded

    def counted(self: KernelDamon, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            calls[name] += 1
            return function(*arguments)

        return guarded(self, name, call)

    monkeypatch.setattr(KernelDamon, "_guarded", counted)
    with SimulatedMachine(load_workload("hot-cold"), 1) as machine:
        kernel = KernelDamon(machine, built(), seed=1)
        ctx = kernel.new_ctx()
        kernel.select_ops(ctx, ops)
        if ops == "paddr":
            damon.add_memory(ctx)
        else:
            damon.add_process(ctx, 1000)
        with damon.running(kernel, ctx):
            machine.clock.sleep_us(1_000_000)
            calls.clear()
            machine.clock.sleep_us(10_000_000)  # 2000 samples
            assert calls.total() < 20, calls
            assert kernel.lib.get(kernel.c_ctx(ctx), "damon_ctx", "passed_sample_intervals") > 2000
        kernel.close()
