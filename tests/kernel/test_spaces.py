# SPDX-License-Identifier: GPL-2.0-only
"""Processes that the kernel's C monitors: each is open exactly as long as a context has it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import damon
from damon.kernel.build import build
from damon.kernel.engine import KernelDamon
from damon.mm.sim import SimulatedMachine
from damon.modules.kernel import kernel_modules
from damon.modules.loader import Loader
from damon.workload.load import load_workload
from tests.kernel.trees import built, source

PID = 1000
VERSIONS = ["linux-source-6.12", "linux-source-7.2", "linux-source-7.3"]


class Watched(SimulatedMachine):
    """A machine that knows which of its processes are open."""

    def __init__(self) -> None:
        super().__init__(load_workload("hot-cold"), 1)
        self.opened: list[Any] = []

    def open_process(self, pid: int) -> Any:
        space = super().open_process(pid)
        self.opened.append(space)
        return space

    @property
    def open(self) -> int:
        return sum(space.alive() for space in self.opened)


@pytest.fixture
def machine() -> Iterator[Watched]:
    with Watched() as made:
        yield made


def _context(kernel: KernelDamon) -> damon.DamonCtx:
    ctx = kernel.new_ctx()
    kernel.select_ops(ctx, "vaddr")
    damon.add_process(ctx, PID)
    return ctx


@pytest.mark.parametrize("name", VERSIONS)
def test_closed_at_the_end_of_a_run(name: str, machine: Watched) -> None:
    kernel = KernelDamon(machine, built(name), seed=1)
    for _ in range(3):
        ctx = _context(kernel)
        with damon.running(kernel, ctx):
            machine.clock.sleep_us(300_000)
            assert (machine.open, len(kernel.spaces)) == (1, 1)
        assert (machine.open, len(kernel.spaces)) == (0, 0)
    kernel.close()
    assert kernel.lib.shim_leaks() == 0


@pytest.mark.parametrize("name", VERSIONS)
def test_a_commit_closes_what_it_removes(name: str, machine: Watched) -> None:
    kernel = KernelDamon(machine, built(name), seed=1)
    ctx = _context(kernel)
    with damon.running(kernel, ctx):
        with damon.changes(kernel, ctx) as wanted:
            damon.add_process(wanted, PID)
        assert (machine.open, len(kernel.spaces)) == (2, 2)
        with damon.changes(kernel, ctx) as wanted:
            del wanted.targets[1]
        assert (machine.open, len(kernel.spaces)) == (1, 1)
    assert (machine.open, len(kernel.spaces)) == (0, 0)
    kernel.close()
    assert kernel.lib.shim_leaks() == 0


def test_what_does_not_start_stays_its_describers(machine: Watched) -> None:
    kernel = KernelDamon(machine, built(), seed=1)
    first, second = _context(kernel), _context(kernel)
    with damon.running(kernel, first):
        with pytest.raises(damon.DamonError):
            kernel.start([second], exclusive=True)
        assert machine.open == 2
    kernel.start([second])
    assert machine.open == 1
    kernel.close()
    assert (machine.open, len(kernel.spaces), kernel.lib.shim_leaks()) == (0, 0, 0)


def test_those_that_the_c_opens(machine: Watched) -> None:
    """A module of the tree's, started three times."""
    library = build(source().with_files([Path(source().path, "samples/damon/prcl.c")]))
    kernel = KernelDamon(machine, library, seed=1)
    loader = Loader(kernel, known=kernel_modules(library))
    module = loader.prepare("damon_sample_prcl", [f"target_pid={PID}"])
    loader.load(module)
    for _ in range(3):
        module.parameters["enabled"].store("Y")
        machine.clock.sleep_us(300_000)
        assert (machine.open, len(kernel.spaces)) == (1, 1)
        module.parameters["enabled"].store("N")
        assert (machine.open, len(kernel.spaces)) == (0, 0)
    assert len(machine.opened) == 3
    loader.unload_all()
    kernel.close()
