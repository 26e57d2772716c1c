# SPDX-License-Identifier: GPL-2.0-only
"""``damon run``: load modules with parameters, watch them work, and sum up. On the simulated machine or on this one."""

from __future__ import annotations

import argparse
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from damon.cli import output
from damon.core import Damon
from damon.errors import DamonError, InvalidInput
from damon.modules.loader import Loader, canonical, find_module, parse_cmdline, split_assignment
from damon.modules.module import Module
from damon.modules.params import Value

DESCRIPTION = """\
Load modules with parameters and run them in the foreground: cold memory leaves (damon_reclaim), lists get sorted
(damon_lru_sort). --sim plays a workload on a simulated machine in virtual time, as fast as it can; --linux works on
this machine's memory (root, CONFIG_IDLE_PAGE_TRACKING). Ctrl-C ends the run; the summary is printed all the same.
"""
EPILOG = """\
A module of --module is enabled unless its parameters say enabled=N; one of --cmdline only if enabled=Y is there.

examples:
  damon run --module damon_reclaim min_age=5000000 --sim workloads/hot-cold.yaml --duration 60 --seed 1
  damon run --cmdline "damon_reclaim.enabled=Y damon_reclaim.min_age=30000000" --linux --json result.json
"""
STEP_US = 100_000
DEFAULT_DURATION_S = 60.0


def add(commands: Any) -> None:
    command = commands.add_parser(
        "run",
        help="load modules and watch them work",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("--cmdline", default="", metavar="STRING", help="parameters as on the kernel's command line")
    command.add_argument(
        "--module", action="append", nargs="+", default=[], metavar=("NAME", "param=value"),
        help="load a module with parameters; can be given several times",
    )  # fmt: skip
    machine = command.add_mutually_exclusive_group(required=True)
    machine.add_argument("--sim", metavar="WORKLOAD", help="workload file (YAML, or masim's configuration)")
    machine.add_argument("--linux", action="store_true", help="the memory of this machine")
    command.add_argument(
        "--duration", type=_duration, metavar="S", help="seconds; else the workload's, or until Ctrl-C"
    )
    command.add_argument("--seed", type=int, default=0, metavar="N", help="of every random choice (default 0)")
    command.add_argument("--json", metavar="FILE", help="write the result as one object; - for standard output")
    command.add_argument("--quiet", action="store_true", help="no progress, no summary")
    command.set_defaults(function=run)


def _duration(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is no duration: give seconds above 0")
    return seconds


def _words(arguments: argparse.Namespace) -> dict[str, list[str]]:
    """What each module is to be given, by its name, command line first."""
    words: dict[str, list[str]] = {}
    for name, given in parse_cmdline(arguments.cmdline).items():
        words.setdefault(find_module(name).name, []).extend(given)
    for name, *given in arguments.module:
        told = any(canonical(split_assignment(word)[0]) == "enabled" for word in given)
        words.setdefault(find_module(name).name, []).extend(given if told else [*given, "enabled=Y"])
    if not words:
        raise InvalidInput("no module to run: give --module NAME or --cmdline NAME.enabled=Y")
    return words


def _prepare(loader: Loader, words: dict[str, list[str]]) -> list[Module]:
    """All modules with their parameters stored and checked; nothing is started."""
    modules = [loader.prepare(name, given) for name, given in words.items()]
    enabled = [module for module in modules if module.wanted]
    if len(enabled) > 1:
        names = " and ".join(module.name for module in enabled)
        raise DamonError(16, f"{names} cannot run together: each starts exclusively; enable one")
    for module in enabled:
        try:
            module.check()
        except DamonError as error:
            raise DamonError(error.errno or 0, f"{module.name}: {error.strerror}") from None
        loader.machine.require(*module.needs())
    return modules


@contextmanager
def _stop_flag() -> Iterator[list[bool]]:
    """True in the list after SIGINT or SIGTERM; the run looks between steps, so that it always ends whole."""
    flag = [False]

    def stop(number: int, frame: object) -> None:
        flag[0] = True

    old = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield flag
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)


class _Run:
    """One run from the first step to the summary."""

    def __init__(self, machine: Any, modules: list[Module], loader: Loader, arguments: argparse.Namespace) -> None:
        self.machine, self.modules, self.loader, self.arguments = machine, modules, loader, arguments
        self.simulated = hasattr(machine, "areas")
        self.start_ns = machine.clock.now_ns()
        self.wall = time.perf_counter()
        self.areas_start = {area.name: area for area in self._areas()}
        self.cpu: dict[str, float] = {}
        self.parameters: dict[str, dict[str, Value]] = {}
        self.error: BaseException | None = None

    def _areas(self) -> list[Any]:
        return list(self.machine.areas()) if self.simulated else []

    def seconds(self) -> float:
        return float(self.machine.clock.now_ns() - self.start_ns) / 1e9

    def loop(self, duration: float | None, stopped: list[bool]) -> None:
        columns = ("module", "tried", "applied", "free", "RSS", "refaults")
        progress = output.Progress(columns, quiet=self.arguments.quiet)
        try:
            while not stopped[0]:
                left = None if duration is None else round((duration - self.seconds()) * 1e6)
                if left is not None and left <= 0:
                    break
                self.machine.clock.sleep_us(STEP_US if left is None else min(STEP_US, left))
                self._look_for_dead_workers()
                if self.error is not None:
                    break
                total = "" if duration is None else f" of {duration:g}"
                progress.update(f"{self.seconds():.1f}{total} s", self.rows)
        finally:
            progress.close()

    def _look_for_dead_workers(self) -> None:
        for module in self.modules:
            if module.ctx is not None and module.ctx.error is not None:
                self.error = module.ctx.error

    def rows(self) -> Sequence[Sequence[str]]:
        free, _total = self.machine.free_mem()
        areas = self._areas()
        resident = output.size(sum(area.resident_bytes for area in areas)) if areas else "-"
        refaults = str(sum(area.refaults for area in areas)) if areas else "-"
        result = []
        for module in self.modules:
            tried, applied = module.progress()
            result.append(
                (module.name, output.size(tried), output.size(applied), output.size(free * 4096), resident, refaults)
            )
        return result

    def end(self) -> None:
        """Take down the parameters and CPU times while the workers live, then stop them."""
        for module in self.modules:
            self.parameters[module.name] = module.parameters.values_by_name() | {"kdamond_pid": -1}
            self.cpu[module.name] = _thread_cpu(self.loader.kdamond_pid(module))
        self.loader.unload_all()

    def result(self) -> dict[str, Any]:
        """One object; all but ``timing`` is the same for the same seed in the simulator."""
        areas = {
            area.name: {
                "size_bytes": area.size_bytes,
                "resident_bytes_start": self.areas_start[area.name].resident_bytes,
                "resident_bytes_end": area.resident_bytes,
                "refaults": area.refaults,
            }
            for area in self._areas()
        }
        free, total = self.machine.free_mem()
        return {
            "seed": self.arguments.seed,
            "machine": self.machine.name,
            "virtual_seconds": round(self.seconds(), 6) if self.simulated else None,
            "modules": {
                module.name: {"parameters": self.parameters[module.name], "stats": module.stats()}
                for module in self.modules
            },
            "areas": areas,
            "slowdown": round(self.machine.slowdown(), 9) if self.simulated else None,
            "memory": {"free_bytes": free * 4096, "total_bytes": total * 4096},
            "psi_some_us": self.machine.psi_some_us(),
            "timing": {
                "seconds": self.seconds() if not self.simulated else None,
                "wall_seconds": round(time.perf_counter() - self.wall, 6),
                "kdamond_cpu_seconds": self.cpu,
            },
        }


def _thread_cpu(tid: int) -> float:
    """CPU seconds of one of our threads, 0 when it is gone."""
    try:
        with open(f"/proc/self/task/{tid}/schedstat") as file:
            return int(file.read().split()[0]) / 1e9
    except (OSError, ValueError):
        return 0.0


def _summary(result: dict[str, Any]) -> None:
    rows = [
        (name, parameter, str(value)) for name, module in result["modules"].items()
        for parameter, value in module["stats"].items()
    ]  # fmt: skip
    output.table(("module", "statistic", "value"), rows)
    if result["areas"]:
        areas = [
            (name, output.size(area["size_bytes"]), output.size(area["resident_bytes_start"]),
             output.size(area["resident_bytes_end"]), f"{area['resident_bytes_end'] / area['size_bytes']:.1%}",
             str(area["refaults"]))
            for name, area in result["areas"].items()
        ]  # fmt: skip
        output.table(("area", "size", "resident at start", "at end", "share", "refaults"), areas)
    parts = [f"free {output.size(result['memory']['free_bytes'])} of {output.size(result['memory']['total_bytes'])}"]
    if result["slowdown"] is not None:
        parts.append(f"estimated slowdown {result['slowdown']:.4f}")
        parts.append(f"{result['virtual_seconds']:g} virtual seconds in {result['timing']['wall_seconds']:.2f} s")
    print(", ".join(parts))


def _machine(arguments: argparse.Namespace) -> tuple[Any, float | None]:
    """The machine and how long to run on it."""
    if arguments.linux:
        from damon.mm.linux import LinuxMachine

        return LinuxMachine(), arguments.duration
    from damon.mm.sim import SimulatedMachine
    from damon.workload.load import load_workload

    workload = load_workload(arguments.sim)
    own = None if workload.repeat else sum(phase.duration_us for phase in workload.phases) / 1e6
    return SimulatedMachine(workload, arguments.seed), arguments.duration or own or DEFAULT_DURATION_S


def run(arguments: argparse.Namespace) -> int:
    if arguments.json is not None:
        output.check_writable(arguments.json)
    words = _words(arguments)
    machine, duration = _machine(arguments)
    try:
        loader = Loader(Damon(machine, seed=arguments.seed))
        modules = _prepare(loader, words)
        with _stop_flag() as stopped:
            this = _Run(machine, modules, loader, arguments)
            try:
                for module in modules:
                    loader.load(module)
                this.loop(duration, stopped)
            finally:
                this.end()
        result = this.result()
        if not arguments.quiet and arguments.json != "-":
            _summary(result)
        if arguments.json is not None:
            output.write_json(arguments.json, result)
        if this.error is not None:
            import sys
            import traceback

            traceback.print_exception(this.error)
            print(f"damon: a monitoring worker ended: {this.error!r}", file=sys.stderr)
            return 1
        return 0
    finally:
        machine.close()
