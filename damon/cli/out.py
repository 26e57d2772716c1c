# SPDX-License-Identifier: GPL-2.0-only
"""``--out``: the results of a run over time, in a directory of its own."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from damon.cli.arguments import duration
from damon.cli.steps import STEP_US
from damon.core.events import EVENTS
from damon.errors import InvalidInput
from damon.model.context import DamonCtx

if TYPE_CHECKING:
    from damon.cli.observe import Observer
    from damon.core import Damon
    from damon.results.recorder import ResultsRecorder

#: Times at which areas' places in physical memory are recorded, in a run of known duration.
_PLACEMENTS: Final = 64
_NEVER: Final = 1 << 62
_NEEDS_OUT: Final = ("every", "regions", "why", "event", "out_form")


def add(command: Any) -> None:
    """The options."""
    group = command.add_argument_group("results over time")
    group.add_argument("--out", metavar="DIR", type=Path, help="write results over time to a new directory")
    group.add_argument(
        "--every", metavar="S", type=duration,
        help="rows once in so much time of the machine, instead of each aggregation (--linux: default 1s)",
    )  # fmt: skip
    group.add_argument("--regions", action="store_true", help="the regions of each aggregation, and each action, too")
    group.add_argument(
        "--why", action="store_true", help="how far memory gets in each scheme, for damon why (takes longer)"
    )
    group.add_argument(
        "--event", action="append", default=[], metavar="NAME", choices=EVENTS,
        help=f"a tracepoint to record; can be given several times: {', '.join(EVENTS)}",
    )  # fmt: skip
    group.add_argument("--out-form", choices=("arrow", "jsonl"), help="of the tables (default: arrow, with pyarrow)")


def check(arguments: argparse.Namespace) -> None:
    """Refuse wrong options before anything starts."""
    if arguments.out is None:
        given = next((name for name in _NEEDS_OUT if getattr(arguments, name)), None)
        if given is not None:
            raise InvalidInput(f"--{given.replace('_', '-')}: is for --out; give --out DIR, or leave it out")
        return
    from damon.results.directory import check_form, check_place

    check_place(arguments.out)
    check_form(arguments.out_form)


class Recording:
    """The results of one run, written to ``--out``; does nothing without.

    Args:
        arguments: as parsed.
        request: see ``damon.results.request``.
        observer: of the machine.
        damon: whose contexts run.
    """

    def __init__(
        self, arguments: argparse.Namespace, request: dict[str, Any], observer: Observer, damon: Damon
    ) -> None:
        from damon.mm.sim.machine import SimulatedMachine
        from damon.results.counters import MachineCounters
        from damon.results.directory import DirectorySink
        from damon.results.recorder import ResultsRecorder

        counters: MachineCounters
        if isinstance(observer.machine, SimulatedMachine):
            from damon.mm.sim.counters import Counters

            counters = Counters(observer.machine)
        else:
            from damon.results.linux import ObservedCounters

            counters = ObservedCounters(observer)
        self._machine, self._why = observer.machine, bool(arguments.why)
        self._sink = DirectorySink(arguments.out, request, arguments.out_form)
        self.recorder: ResultsRecorder = ResultsRecorder(
            damon, self._sink, counters, every_ns=request["every_ns"], regions=arguments.regions,
            events=arguments.event, why=arguments.why,
        )  # fmt: skip
        self._contexts: list[Any] = []
        seconds = request["seconds"]
        self._beats = max(round(seconds * 1e6) // STEP_US // _PLACEMENTS, 1) if seconds else _NEVER
        self._next_beat = 0

    def watch(self, ctxs: Sequence[DamonCtx]) -> None:
        """Record these from now on."""
        from damon.records.params import kdamond

        for ctx in ctxs:
            self.recorder.watch(ctx)
            self._contexts.append(kdamond(ctx, 0)["contexts"][0])
        self._sink.describe(contexts=self._contexts)
        self.recorder.sample()

    def beat(self, seconds: float) -> int:
        """Called at each beat of the run, ``seconds`` since its start: the number of beats until something is due."""
        now = round(seconds * 1e6) // STEP_US
        self.recorder.tick()
        if now >= self._next_beat:
            self.recorder.place()
            self._next_beat = now - now % self._beats + self._beats
        return self._next_beat - now

    def finish(self, result: dict[str, Any]) -> None:
        """The workers have ended, with ``result``.

        Raises:
            OSError: something could not be written.
        """
        self.recorder.finish()
        strides = {str(number): stride for number, stride in self.recorder.strides.items() if stride > 1}
        lasting = {name: value for name, value in result.items() if name != "timing"} | self._truth()
        self._sink.describe(contexts=self._contexts, result=lasting, strides=strides)
        self._sink.write_timing(result["timing"])

    def _truth(self) -> dict[str, Any]:
        """What ``damon why`` needs of a trace, which is open now."""
        from damon.mm.sim.machine import SimulatedMachine
        from damon.results.truth import RATES, traced_rates

        if not self._why or not isinstance(self._machine, SimulatedMachine):
            return {}
        rates = traced_rates(self._machine.workload, self._machine.clock.now_ns())
        return {RATES: rates} if rates is not None else {}


def every_ns(arguments: argparse.Namespace) -> int:
    """Interval between rows; 0: each aggregation."""
    if arguments.every is not None:
        return int(arguments.every * 1e9)
    from damon.results.recorder import FRESH_NS

    return FRESH_NS if arguments.linux else 0
