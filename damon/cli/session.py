# SPDX-License-Identifier: GPL-2.0-only
"""One run of loaded modules: the loop that watches them, and the result as an object and as tables."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from damon import format_version
from damon.cli import output
from damon.cli.observe import Observer, Seen
from damon.cli.outcome import in_words
from damon.cli.progress import Progress
from damon.cli.steps import MOST, Steps
from damon.library.engine import Identity
from damon.mm.clock import VirtualClock
from damon.modules.loader import Loader
from damon.modules.module import Module
from damon.modules.params import Value
from damon.results.best import sentence
from damon.results.swap import swap_of

if TYPE_CHECKING:
    from damon.cli.out import Recording
    from damon.mm.sim import Kill
    from damon.model.machine import Machine

_COLUMNS = ("module", "tried", "applied", "state")
_SUMS = ("size_bytes", "resident_bytes_start", "resident_bytes_end", "refaults")


class Session:
    """From the first step to the summary.

    Args:
        observer: made before the modules were loaded.
        modules: those to watch, as prepared with ``loader``.
        seed: shown in the result.
        quiet: no progress.
        engine: shown in the result.
    """

    def __init__(
        self, observer: Observer, modules: Sequence[Module], loader: Loader, seed: int, quiet: bool, engine: Identity
    ) -> None:
        self._observer, self._modules, self._loader = observer, modules, loader
        self._seed, self._quiet, self._engine = seed, quiet, engine
        self._clock = observer.machine.clock
        self._simulated = isinstance(self._clock, VirtualClock)
        self._start_ns = self._clock.now_ns()
        self._wall = time.perf_counter()
        self._start = observer.look()
        self._psi_start_us = observer.machine.psi_some_us()
        self._ran = 0.0
        self._cpu: dict[str, float] = {}
        self._states: dict[str, str] = {}
        self._parameters: dict[str, dict[str, Value]] = {}
        self.error: BaseException | None = None  #: what ended a worker
        self.recording: Recording | None = None  #: results over time

    @property
    def machine(self) -> Machine:
        return self._observer.machine

    @property
    def engine(self) -> Identity:
        return self._engine

    @property
    def seed(self) -> int:
        return self._seed

    def parameters(self) -> dict[str, dict[str, Value]]:
        """Of each module, as they are now."""
        found = {module.name: module.parameters.values_by_name() for module in self._modules}
        for parameters in found.values():
            parameters.pop("kdamond_pid", None)
        return found

    def seconds(self) -> float:
        """Of the machine's time since the start."""
        return float(self._clock.now_ns() - self._start_ns) / 1e9

    def loop(self, duration: float | None, stopped: Sequence[bool]) -> None:
        """Let time pass until ``duration`` seconds are over, ``stopped[0]`` is true, or a worker has died."""
        progress, steps = (
            Progress(_COLUMNS, duration, quiet=self._quiet),
            Steps(self._loader.damon, None if self._quiet else duration),
        )
        try:
            while not stopped[0] and self.error is None:
                left = None if duration is None else round((duration - self.seconds()) * 1e6)
                if left is not None and left <= 0:
                    break
                most = MOST if self.recording is None else self.recording.beat(self.seconds())
                steps.sleep(left, [ctx for module in self._modules for ctx in module.ctxs], most)
                self._look_for_dead_workers()
                if progress.due(self.seconds()):
                    progress.show(self.seconds(), self._memory(self._observer.look()), self._rows())
        finally:
            progress.close()

    def _look_for_dead_workers(self) -> None:
        for module in self._modules:
            for ctx in module.ctxs:
                self.error = ctx.error or self.error

    @staticmethod
    def _memory(seen: Seen) -> str:
        return f"free {output.size(seen.free)}, RSS {output.size(seen.resident)}, refaults {seen.refaults}"

    def _rows(self) -> Sequence[Sequence[str]]:
        progress = ((module, module.progress()) for module in self._modules)
        return [
            (module.name, *(map(output.size, sizes) if sizes is not None else ("-", "-")), module.state())
            for module, sizes in progress
        ]

    @property
    def kills(self) -> list[Kill]:
        return self._observer.kills()

    def end(self) -> None:
        """Take down the parameters and CPU times while the workers live, then stop them."""
        self._ran = round(self.seconds(), 6)
        if self.recording is not None:
            self.recording.recorder.sample()
        for module in self._modules:
            self._states[module.name] = module.state()
            self._parameters[module.name] = module.parameters.values_by_name() | {"kdamond_pid": -1}
            self._cpu[module.name] = _thread_cpu(self._loader.kdamond_pid(module))
        self._look_for_dead_workers()
        self._loader.unload_all()

    def statistics(self) -> Sequence[tuple[str, str, str]]:
        """Module, name and value of each readable figure."""
        return [(module.name, *row) for module in self._modules for row in module.summary()]

    def _module(self, module: Module) -> dict[str, Any]:
        tried, applied = module.progress() or (None, None)
        return {
            "parameters": self._parameters[module.name],
            "stats": module.stats(),
            "state": self._states[module.name],
            "tried_bytes": tried,
            "applied_bytes": applied,
        }

    def _unreached(self) -> dict[str, int] | None:
        """Of physical memory on a real machine: bytes by the reason why no action reached them."""
        physical = getattr(self._observer.machine, "physical", None)
        return physical.unreached() if physical is not None else None

    def result(self) -> dict[str, Any]:
        """One object, after ``end()``; all but ``timing`` is the same for the same seed in the simulator."""
        start, now = self._start, self._observer.look()
        return {
            format_version.FIELD: format_version.RUN_RESULT,
            "seed": self._seed,
            "engine": self._engine.as_object(),
            "machine": self._observer.machine.name,
            "virtual_seconds": self._ran if self._simulated else None,
            "modules": {module.name: self._module(module) for module in self._modules},
            "error": in_words(self.error),
            "killed": [kill.as_object() for kill in self.kills],
            "areas": self._observer.areas(),
            "slowdown": self._observer.slowdown(),
            "best": self._observer.best(),
            "memory": {
                "total_bytes": now.total,
                "free_bytes_start": start.free,
                "free_bytes": now.free,
                "resident_bytes_start": start.resident,
                "resident_bytes": now.resident,
                "refaults": now.refaults,
                **swap_of(self._observer.machine),
            },
            "unreached_bytes": self._unreached(),
            "psi_some_us_start": self._psi_start_us,
            "psi_some_us": self._observer.machine.psi_some_us(),
            "timing": {
                "seconds": None if self._simulated else self._ran,
                "wall_seconds": round(time.perf_counter() - self._wall, 6),
                "kdamond_cpu_seconds": self._cpu,
            },
        }


def _reasons(unreached: dict[str, int]) -> str:
    """Of bytes that passed a scheme's filters: how many no advice reached, by reason."""
    found = ", ".join(f"{output.size(count)} {name}" for name, count in unreached.items() if count and name != "wanted")
    return f"not reached from user space: {found or 'none'} of {output.size(unreached['wanted'])} that passed filters"


def _thread_cpu(tid: int) -> float:
    """CPU seconds of a worker: one of our threads, or one of the kernel's; 0 when it is gone."""
    for directory in ("/proc/self/task", "/proc"):
        try:
            with open(f"{directory}/{tid}/schedstat") as file:
                return int(file.read().split()[0]) / 1e9
        except (OSError, ValueError, IndexError):
            continue
    return 0.0


def print_summary(result: dict[str, Any], statistics: Sequence[tuple[str, str, str]]) -> None:
    """The result as tables on standard output; ``statistics`` are module, name and value."""
    output.table(("module", "statistic", "value"), statistics)
    for name, module in result["modules"].items():
        print(f"{name} at the end: {module['state']}")
    output.killed(result["killed"])
    if result["areas"]:
        columns = ("area", "size", "resident at start", "at end", "share", "refaults")
        output.table(columns, [_area_row(name, area) for name, area in _whole(result["areas"]).items()])
    memory, timing = result["memory"], result["timing"]
    if result.get("unreached_bytes") and result["unreached_bytes"]["wanted"]:
        print(_reasons(result["unreached_bytes"]))
    print(
        f"free {output.size(memory['free_bytes_start'])} -> {output.size(memory['free_bytes'])}"
        f" of {output.size(memory['total_bytes'])},"
        f" RSS {output.size(memory['resident_bytes_start'])} -> {output.size(memory['resident_bytes'])},"
        f" {memory['refaults']} refaults"
    )
    if result["best"] is not None:
        print(sentence(result["best"]))
    if result["virtual_seconds"] is None:
        slowed = "" if result["slowdown"] is None else f"slowdown {result['slowdown']:.4f}; "
        print(f"{slowed}{timing['seconds']:.1f} s")
    else:
        print(
            f"estimated slowdown {result['slowdown']:.4f};"
            f" {result['virtual_seconds']:g} virtual seconds in {timing['wall_seconds']:.2f} s"
        )


def _whole(areas: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The areas of the workload file: the parts of each together."""
    found: dict[str, dict[str, Any]] = {}
    for name, area in areas.items():
        one = found.setdefault(area.get("part_of", name), dict.fromkeys(_SUMS, 0))
        for key in _SUMS:
            one[key] = None if area[key] is None else one[key] + area[key]
    return found


def _area_row(name: str, area: dict[str, Any]) -> Sequence[str]:
    end, refaults = area["resident_bytes_end"], area["refaults"]
    return (
        name, output.size(area["size_bytes"]), output.size(area["resident_bytes_start"]), output.size(end),
        f"{end / area['size_bytes']:.1%}", "-" if refaults is None else str(refaults),
    )  # fmt: skip
