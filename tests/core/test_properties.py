# SPDX-License-Identifier: GPL-2.0-only
"""Whole runs of random contexts on random machines: what always holds, what a refused commit leaves, and the twins."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from damon.core import Damon, commit_ctx
from damon.errors import DamonError
from damon.mm.sim import SimulatedMachine
from damon.model.context import DamonCallControl, DamonCtx
from tests.examples import examples
from tests.invariants import Watch, dump, identities
from tests.random_contexts import random_commit, random_contexts, random_workload, spoil

seeds = st.integers(0, 2**32 - 1)
FOLIO = 2 << 20
Change = Callable[[DamonCtx], None]


class _Run:
    """Contexts of all three kinds on one machine, watched."""

    def __init__(self, seed: int, *, reference: bool = False) -> None:
        rnd = self.rnd = Random(seed)
        self.machine = SimulatedMachine(random_workload(rnd), seed)
        self.damon = Damon(self.machine, seed, reference=reference, level="7.3" if seed % 3 else "next")
        self.ctxs = random_contexts(rnd, self.damon)
        self.watches = [Watch(folio=FOLIO) for _ in self.ctxs]
        self.damon.start(self.ctxs)
        for ctx, watch in zip(self.ctxs, self.watches, strict=True):
            self.damon.call(ctx, watch.control())

    def call(self, number: int, change: Change) -> None:
        """In the worker, if it still lives."""
        try:
            self.damon.call(self.ctxs[number], DamonCallControl(change))
        except DamonError as error:
            if "worker" not in str(error):
                raise

    def change(self, valid: bool) -> None:
        """A random commit to each; those that are refused must change nothing at all."""
        for number, watch in enumerate(self.watches):

            def change(ctx: DamonCtx, watch: Watch = watch) -> None:
                src = random_commit(self.rnd, ctx)
                if valid:
                    commit_ctx(ctx, src)
                    watch.changed()
                    return
                spoil(self.rnd, src)
                before = dump(ctx), identities(ctx)
                with pytest.raises(DamonError):
                    commit_ctx(ctx, src)
                assert (dump(ctx), identities(ctx)) == before

            self.call(number, change)

    def state(self) -> Any:
        snapshot = self.machine.state.snapshot()
        return [dump(ctx) for ctx in self.ctxs], self.machine.clock.now_ns(), self.machine.counters(), snapshot

    def end(self) -> list[Any]:
        self.damon.stop(self.ctxs)
        for ctx in self.ctxs:
            if ctx.error is not None:
                raise ctx.error
        self.machine.close()
        return [dump(scheme.stat) for ctx in self.ctxs for scheme in ctx.schemes]


@given(seeds)
@examples(25)
def test_what_always_holds(seed: int) -> None:
    run = _Run(seed)
    for _ in range(4):
        run.machine.clock.sleep_us(run.rnd.choice([200_000, 700_000, 1_500_000]))
        run.change(valid=True)
    run.machine.clock.sleep_us(500_000)
    run.end()


@given(seeds)
@settings(max_examples=30)
def test_a_refused_commit_changes_nothing(seed: int) -> None:
    """Neither at that moment, nor in what comes after: the run goes on as without that commit."""
    states = []
    for refused in (True, False):
        run = _Run(seed)
        for _ in range(3):
            run.machine.clock.sleep_us(430_000)
            if refused:
                run.change(valid=False)
            else:  # a call wakes at the same moments
                for number in range(len(run.ctxs)):
                    run.call(number, lambda ctx: None)
        run.machine.clock.sleep_us(400_000)
        states.append(run.state())
        states.append(run.end())
    assert states[:2] == states[2:]


@given(seeds)
@settings(max_examples=12)
def test_native_equals_reference(seed: int) -> None:
    """Everything, byte for byte, at several moments of a run with commits: contexts, statistics and the machine."""
    runs = [_Run(seed), _Run(seed, reference=True)]
    for _ in range(3):
        for run in runs:
            run.machine.clock.sleep_us(250_000)
        first, second = (run.state() for run in runs)
        for ours, theirs in zip(first[0], second[0], strict=True):
            ours.pop("reference")
            theirs.pop("reference")
        assert first == second
        for run in runs:
            run.change(valid=True)
    assert runs[0].end() == runs[1].end()
