# SPDX-License-Identifier: GPL-2.0-only
"""Hours of virtual time on a simulated machine: 8 kdamonds, random parameters, commits and faults, checked throughout.

The invariants of the tests are held at every aggregation. Faults are exits, unmapped memory, memory that is unplugged,
processes killed for want of memory, actions that fail, contexts stopped and started, commits that are refused.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

import psutil

sys.path.insert(0, str(Path(__file__).parents[1]))  # where the tests and their checks are

from damon.core import Damon, commit_ctx
from damon.errors import DamonError
from damon.mm.sim import SimulatedMachine
from damon.model.context import DamonCallControl, DamonCtx, DamosWalkControl
from damon.model.target import DamonTarget
from tests.invariants import Watch, dump, identities, live_arrays
from tests.random_contexts import random_commit, random_context, random_workload, spoil

KINDS = ("vaddr", "vaddr", "vaddr", "fvaddr", "fvaddr", "paddr", "paddr", "paddr")
Fault = Callable[["Soak", "Slot"], str]


@dataclass(eq=False)
class Slot:
    """The place of one kdamond; another context takes it when the one there ends."""

    kind: str
    ctx: DamonCtx
    watch: Watch


class Soak:
    """One run. What goes wrong is raised; ``digest`` is the same for the same seed.

    Args:
        slow: sampling intervals are so many times 1 to 20 ms.
        faults: more things that may happen to a slot; each says what it did.
    """

    def __init__(self, seed: int, slow: int = 4, faults: tuple[Fault, ...] = ()) -> None:
        self.rnd = Random(seed)
        workload = replace(random_workload(self.rnd, 4, 200), repeat=True)
        self.machine = SimulatedMachine(workload, seed)
        self.damon = Damon(self.machine, seed)
        self.slow = slow
        self.counts: Counter[str] = Counter()
        self.hash = hashlib.sha256()
        self.faults: tuple[Fault, ...] = (
            *(Soak.commit,) * 8, Soak.refused_commit, Soak.refused_commit, Soak.restart, Soak.retarget, Soak.pause,
            Soak.walk, *faults,
        )  # fmt: skip
        self.slots = [self.fresh(kind) for kind in KINDS]

    # -- contexts

    def fresh(self, kind: str) -> Slot:
        """A started context; of physical memory while no process lives."""
        ctx = random_context(self.rnd, self.damon, kind, self.slow)
        if ctx is None:
            ctx = random_context(self.rnd, self.damon, "paddr", self.slow)
            assert ctx is not None
        slot = Slot(kind, ctx, Watch(folio=2 << 20))
        self.damon.start([ctx])
        self.damon.call(ctx, slot.watch.control())
        self.counts["started"] += 1
        return slot

    def retire(self, slot: Slot) -> None:
        """Take the books of a context whose worker has ended."""
        if slot.ctx.error is not None:
            raise slot.ctx.error
        self.counts["checks"] += slot.watch.checks
        self.counts["aggregations"] += slot.watch.aggregations
        self.counts["quota windows"] += slot.watch.windows
        self.counts["most regions"] = max(self.counts["most regions"], slot.watch.most_regions)
        for scheme in slot.ctx.schemes:
            self.counts["bytes applied"] += scheme.stat.sz_applied
            self.counts["tried in vain"] += scheme.stat.nr_tried - scheme.stat.nr_applied
        self.note(dump(slot.ctx))

    def note(self, what: object) -> None:
        self.hash.update(repr(what).encode())

    def call(self, slot: Slot, function: Callable[[DamonCtx], None]) -> bool:
        """In the worker; False when it has ended."""
        try:
            self.damon.call(slot.ctx, DamonCallControl(function))
        except DamonError as error:
            if "worker" not in str(error):
                raise
            return False
        return True

    # -- what happens

    def commit(self, slot: Slot, change: Callable[[DamonCtx], None] = lambda src: None) -> str:
        def run(ctx: DamonCtx) -> None:
            src = random_commit(self.rnd, ctx, self.slow)
            change(src)
            commit_ctx(ctx, src)
            slot.watch.changed()

        return "commits" if self.call(slot, run) else "commits to the dead"

    def refused_commit(self, slot: Slot) -> str:
        def run(ctx: DamonCtx) -> None:
            src = random_commit(self.rnd, ctx, self.slow)
            spoil(self.rnd, src)
            before = dump(ctx), identities(ctx)
            try:
                commit_ctx(ctx, src)
            except DamonError:
                assert (dump(ctx), identities(ctx)) == before, "a refused commit changed the context"
            else:
                raise AssertionError("a bad commit was taken")

        return "refused commits" if self.call(slot, run) else "commits to the dead"

    def restart(self, slot: Slot) -> str:
        self.damon.stop([slot.ctx])
        return "stops"

    def retarget(self, slot: Slot) -> str:
        """Other processes, more or less of them; they inherit the regions that are there."""

        def change(src: DamonCtx) -> None:
            if src.ops.id == "paddr":
                return
            alive = [process.pid for process in self.machine.processes() if process.alive]
            pids = [self.rnd.choice(alive) for _ in range(self.rnd.randint(1, 3))] if alive else []
            src.targets = [DamonTarget(space=self.machine.open_process(pid)) for pid in pids] or src.targets

        return self.commit(slot, change).replace("commits", "retargets")

    def pause(self, slot: Slot) -> str:
        """Until the next commit."""

        def change(src: DamonCtx) -> None:
            src.pause = True

        return self.commit(slot, change).replace("commits", "pauses")

    def walk(self, slot: Slot) -> str:
        """Not while intervals are tuned: each step arms the schemes anew, so that one may never come to its pass."""
        if slot.ctx.attrs.intervals_goal.aggrs:
            return "walks not tried"
        seen = [0]

        def see(*_: object) -> None:
            seen[0] += 1

        try:
            self.damon.walk(slot.ctx, DamosWalkControl(see))
        except DamonError:
            return "canceled walks"
        self.note(seen)
        return "walks"

    # -- the run

    def step(self) -> None:
        """A second or so, and something happens."""
        self.machine.clock.sleep_us(self.rnd.choice([50_000, 400_000, 1_000_000, 3_000_000]))
        for number, slot in enumerate(self.slots):
            if slot.ctx.kdamond is None:
                self.retire(slot)
                self.counts["ended by themselves"] += 1
                self.slots[number] = self.fresh(slot.kind)
        number = self.rnd.randrange(len(self.slots))
        slot = self.slots[number]
        what = self.rnd.choice(self.faults)(self, slot)
        self.counts[what] += 1
        if slot.ctx.kdamond is None:
            self.retire(slot)
            self.slots[number] = self.fresh(slot.kind)
        self.note((what, self.machine.clock.now_ns(), self.machine.psi_some_us(), self.machine.counters()))
        self.note([slot.ctx.nr_regions() for slot in self.slots])

    def seconds(self) -> float:
        """Virtual time so far."""
        return self.machine.clock.now_ns() / 1e9

    def end(self) -> str:
        """Stop everything and take the books; the digest."""
        self.damon.stop([slot.ctx for slot in self.slots])
        for slot in self.slots:
            self.retire(slot)
        self.slots.clear()
        assert self.damon.nr_running_ctxs == 0
        self.counts["processes killed"] = self.machine.counters()["oom_kill"]
        self.counts["memory that could not go"] = self.machine.offline_failures
        self.note(sorted(self.machine.state.snapshot().items()))
        self.machine.close()
        return self.hash.hexdigest()[:16]


def rss() -> int:
    """MiB."""
    return int(psutil.Process().memory_info().rss) >> 20


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--hours", type=float, default=2.0, help="virtual time")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--slow", type=int, default=4, help="sampling intervals are so many times 1 to 20 ms")
    arguments = parser.parse_args()
    before = live_arrays()
    soak = Soak(arguments.seed, arguments.slow)
    began, end = time.monotonic(), arguments.hours * 3600
    shown, early = 0, None
    while soak.seconds() < end:
        soak.step()
        if soak.seconds() >= shown * end / 10:
            live = live_arrays()
            print(
                f"{soak.seconds():6.0f} s virtual, {time.monotonic() - began:5.0f} s, {rss()} MiB, {live}", flush=True
            )
            early = early or ((rss(), live) if shown >= 2 else None)
            shown += 1
    late = rss()
    digest = soak.end()
    wall = time.monotonic() - began
    for name, count in sorted(soak.counts.items()):
        print(f"{count:>16}  {name}")
    print(f"{end / wall:.0f} virtual seconds a second with {len(KINDS)} kdamonds; digest {digest}")
    del soak
    after = live_arrays()
    leaks = [f"{name}: {before[name]} -> {after[name]}" for name in before if after[name] > before[name]]
    if early is not None and late > 1.1 * early[0] + 16:
        leaks.append(f"resident memory: {early[0]} -> {late} MiB")
    print("LEAKS " + ", ".join(leaks) if leaks else "ok: no exception, invariants held, nothing leaked")
    return bool(leaks)


if __name__ == "__main__":
    sys.exit(main())
