# SPDX-License-Identifier: GPL-2.0-only
"""What recording truth costs: the emulator's processor time for a touch, with the plugin and without it.

``python -m benchmarks.truth [--seconds 6] [--count] [WORKLOAD ...]``: each workload runs in two guests, one after the
other. The processor time does not depend on what else the host does, as the time by the clock would.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable
from pathlib import Path

import psutil

from damon.native import WORKLOAD_PROGRAM
from damon.workload.load import load_workload
from damon.workload.plan import Options as PlanOptions
from damon.workload.plan import compile_plan
from vmtest import Guest, GuestConfig, Tree
from vmtest.truth.record import Command, Options, record

INSIDE = "/opt/bench"


def _cpu() -> float:
    """Seconds of processor time that this program's QEMU has taken."""
    total = 0.0
    for child in psutil.Process().children(recursive=True):
        try:
            if child.name().startswith("qemu-system"):
                times = child.cpu_times()
                total += times.user + times.system
        except psutil.Error:
            pass
    return total


class _Meter:
    """Reads the workload's reports as they come, with the processor time at each."""

    def __init__(self) -> None:
        self._rest = b""
        self._points: list[tuple[float, int]] = []

    def write(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            report = json.loads(line)
            if report["event"] == "report":
                self._points.append((_cpu(), report["touches"]))

    def us_per_touch(self) -> float:
        """Microseconds of QEMU's for each touch, from the first report to the last."""
        (cpu0, touches0), (cpu1, touches1) = self._points[0], self._points[-1]
        return (cpu1 - cpu0) * 1e6 / max(touches1 - touches0, 1)


def _measure(
    name: str, seconds: int, run: Callable[[GuestConfig, list[str], _Meter], None], directory: Path
) -> float:  # fmt: skip
    plan = compile_plan(load_workload(name), PlanOptions(duration_us=seconds * 1_000_000))
    (directory / "plan").write_text(plan)
    (directory / "damon-workload").write_bytes(WORKLOAD_PROGRAM.read_bytes())
    (directory / "damon-workload").chmod(0o755)
    config = GuestConfig(accelerator="tcg", trees=(Tree(directory, INSIDE),), swap="zram:512M")
    meter = _Meter()
    run(config, ["sh", "-c", f"exec {INSIDE}/damon-workload <{INSIDE}/plan"], meter)
    return meter.us_per_touch()


def _plain(config: GuestConfig, command: list[str], meter: _Meter) -> None:
    with Guest(config) as guest:
        guest.run(command, stdout=meter.write, timeout=600)


def _with_truth(exact: bool, output: Path) -> Callable[[GuestConfig, list[str], _Meter], None]:
    def run(config: GuestConfig, command: list[str], meter: _Meter) -> None:
        options = Options(output=output, exact=exact)
        record(config, options, Command(command, meter.write, lambda data: None, 600))

    return run


def main() -> None:
    """Print a row for each workload."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=int, default=6)
    parser.add_argument("--count", action="store_true")
    parser.add_argument("workloads", nargs="*", default=["hot-cold", "zipf", "stairs", "zigzag", "file-cache"])
    arguments = parser.parse_args()
    print(f"{'workload':12} {'plain us':>9} {'truth us':>9} {'ratio':>6} {'raw bytes':>10}")
    with tempfile.TemporaryDirectory() as scratch:
        files, output = Path(scratch, "files"), Path(scratch, "raw")
        files.mkdir()
        for name in arguments.workloads:
            plain = _measure(name, arguments.seconds, _plain, files)
            truth = _measure(name, arguments.seconds, _with_truth(arguments.count, output), files)
            size = output.stat().st_size
            print(f"{name:12} {plain:9.3f} {truth:9.3f} {truth / plain:6.2f} {size:10}", flush=True)


if __name__ == "__main__":
    main()
