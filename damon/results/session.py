# SPDX-License-Identifier: GPL-2.0-only
"""Results of contexts that a program or a notebook runs by itself."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from damon.core import Damon
from damon.library.engine import OwnEngine
from damon.mm.sim.counters import Counters
from damon.mm.sim.machine import SimulatedMachine
from damon.model.context import DamonCtx
from damon.model.machine import PAGE_SIZE
from damon.records.params import kdamond
from damon.results.directory import DirectorySink
from damon.results.recorder import FRESH_NS, ResultsRecorder
from damon.results.request import request, workload_request
from damon.results.run import Run
from damon.results.sink import MemorySink
from damon.results.swap import swap_of
from damon.results.truth import RATES, traced_rates


class Recording:
    """Records running contexts from now on, until ``stop()`` or the end of a ``with`` block.

    Args:
        damon: whose contexts.
        ctxs: those to record; they run.
        out: a new directory; None: rows are kept in memory.
        every_us: of the machine's time: rows once in each such interval; 0: at each aggregation.
        regions: record regions and actions, too.
        why: record how far memory gets in each scheme, too (``damon.results.why.explain``).
        asked: fields of ``run.json``'s request, as of ``damon.results.request``, in place of those of a program.

    Raises:
        InvalidInput: ``out`` is not a new directory.
    """

    def __init__(
        self,
        damon: Damon,
        *ctxs: DamonCtx,
        out: str | os.PathLike[str] | None = None,
        every_us: int | None = None,
        regions: bool = True,
        why: bool = False,
        asked: Mapping[str, Any] | None = None,
    ) -> None:
        machine = damon.machine
        simulated = isinstance(machine, SimulatedMachine)
        every_ns = (0 if simulated else FRESH_NS) if every_us is None else 1000 * every_us
        self._asked = request(
            command="Recording", machine=machine.name, engine=OwnEngine.identity, seed=getattr(damon, "seed", 0),
            seconds=None, modules={}, every_ns=every_ns, regions=regions, why=why,
            workload=workload_request(machine.workload, machine) if isinstance(machine, SimulatedMachine) else None,
        ) | dict(asked or {})  # fmt: skip
        self._directory = DirectorySink(Path(out), self._asked) if out is not None else None
        self._memory = MemorySink()
        self._recorder = ResultsRecorder(
            damon, self._directory or self._memory,
            Counters(machine) if isinstance(machine, SimulatedMachine) else None,
            every_ns=every_ns, regions=regions, why=why,
        )  # fmt: skip
        self._contexts: list[Any] = []
        self._damon, self._running = damon, True
        for ctx in ctxs:
            self._recorder.watch(ctx)
            self._contexts.append(kdamond(ctx, 0)["contexts"][0])
        self._recorder.sample()

    @property
    def run(self) -> Run:
        """What was recorded so far. On a simulated machine, ask where no time passes."""
        if self._running:
            self._recorder.flush()
        if self._directory is not None:
            self._directory.flush()
            return Run.open(self._directory.path)
        state = "running" if self._running else "complete"
        return Run.of_memory(
            self._memory,
            {"request": self._asked, "contexts": self._contexts, "state": state, "result": self._result()},
        )

    def _result(self) -> dict[str, Any]:
        machine = self._damon.machine
        result: dict[str, Any] = {"memory": {"total_bytes": machine.free_mem()[1] * PAGE_SIZE, **swap_of(machine)}}
        if self._asked["why"] and isinstance(machine, SimulatedMachine):
            result[RATES] = traced_rates(machine.workload, machine.clock.now_ns())
        return result

    def stop(self) -> None:
        """Record no more; safe to call twice.

        Raises:
            OSError: something could not be written; what was written before is kept.
        """
        if not self._running:
            return
        self._recorder.sample()
        self._running = False
        self._recorder.finish()
        if self._directory is not None:
            self._directory.describe(contexts=self._contexts, result=self._result())

    def __enter__(self) -> Recording:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
