# SPDX-License-Identifier: GPL-2.0-only
"""SIGINT at random moments of each command that boots no guest: tracebacks, wrong exit codes, files left behind.

Usage: python benchmarks/interrupts.py [N [SEED [PART]]], PART of the command lines that are meant

Each command first runs undisturbed, which gives its duration; then N times with a SIGINT at a moment that is drawn
from it. Right is 130, or 0 where it had ended, or ended whole. A process that SIGINT ends before Python has a handler
(-2), or in Python's own start (before the first line of ours), is counted on its own.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

TOP = Path(__file__).resolve().parents[1]
SIM = f"--sim {TOP}/workloads/hot-cold.yaml"
COMMANDS = (
    "damon --help",
    "damon modinfo damon_reclaim",
    f"damon run --module damon_reclaim {SIM} --duration 20 --json r.json",
    f"damon run --module damon_stat {SIM} --duration 20 --json - --quiet",
    f"damon record {SIM} --ops vaddr --duration 20 -o damon.data",
    "damon report old.data",
    f"damon compare pydamon linux-source-6.12 --module damon_reclaim {SIM} --duration 20 --json r.json",
    f"damon export {TOP}/tests/export/policies/proactive_reclaim.py --to sysfs-script {SIM} -o p.sh",
    "damon doctor",
    f"damond {SIM} --mount sys",
    f"damon-workload {TOP}/workloads/hot-cold.yaml --print-plan",
    f"damon-workload {TOP}/workloads/hot-cold.yaml --duration 0.2",
    f"damon-workload {TOP}/workloads/hot-cold.yaml --duration 0.2 --json",
    "vmtest --help",
    "vmtest kernels",
    "vmtest kconfig --feature page_idle",
    "vmtest doctor",
    "vmtest build kernel",
    "vmtest build image",
)
#: Those that do not end by themselves, or only after minutes: so many seconds of them are looked at.
SPANS_S = {"damond": 1.0, "vmtest build": 8.0}
PATIENCE_S = 30.0


def _start(command: str, cwd: Path) -> subprocess.Popen[str]:
    name, *words = command.split()
    environment = os.environ | {"RUNTIME_DIRECTORY": str(cwd / "run"), "XDG_CACHE_HOME": str(cwd / "cache")}
    environment["TMPDIR"] = str(cwd)
    return subprocess.Popen(
        [str(Path(sys.executable).with_name(name)), *words], cwd=cwd, env=environment, text=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def _left(cwd: Path) -> list[str]:
    kept = ("old.data", "run", "cache")
    return [path.name for path in cwd.iterdir() if not path.name.startswith(kept)]


def _verdict(process: subprocess.Popen[str], err: str, cwd: Path) -> str:
    if "Traceback" in err:
        ours = any(f'File "{TOP}/{part}/' in err for part in ("damon", "vmtest", "modules", "images"))
        return f"traceback: {err.strip().splitlines()[-1]}" if ours else "in Python's own start"
    if process.returncode == -signal.SIGINT:
        return "before Python's handler"
    if process.returncode not in (0, 130):
        return f"code {process.returncode}: {err.strip()[-80:]}"
    left = _left(cwd)
    if any(name.startswith((".", "damon-", "vmtest", "tmp")) for name in left):
        return f"left {left}"
    return "130" if process.returncode else "ended whole"


def _end(process: subprocess.Popen[str], cwd: Path) -> str:
    try:
        _out, err = process.communicate(timeout=PATIENCE_S)
    except subprocess.TimeoutExpired:
        process.terminate()
        _out, err = process.communicate(timeout=PATIENCE_S)
        if "Exception ignored" in err:
            return "lost in Python's own start"
        return f"went on: {err.strip()[-200:]}"
    return _verdict(process, err, cwd)


def measure(command: str, number: int, dice: random.Random) -> Counter[str]:
    """How ``number`` interrupted runs of ``command`` ended."""
    found: Counter[str] = Counter()
    with tempfile.TemporaryDirectory(prefix="interrupts-") as name:
        cwd = Path(name)
        record = _start(f"damon record {SIM} --ops vaddr --duration 5 -o old.data --quiet", cwd)
        record.communicate()
        span = next((span for start, span in SPANS_S.items() if command.startswith(start + " ")), 0.0)
        for _ in range(0 if span else 2):  # the first time it may build something
            begin = time.monotonic()
            _start(command, cwd).communicate()
            span = time.monotonic() - begin
        for _ in range(number):
            for left in _left(cwd):
                path = cwd / left
                shutil.rmtree(path) if path.is_dir() else path.unlink()
            process = _start(command, cwd)
            time.sleep(dice.uniform(0, span))
            process.send_signal(signal.SIGINT)
            found[_end(process, cwd)] += 1
    return found


def main() -> int:
    """The exit code: 1 when any run ended in a way that is not right."""
    number = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    dice = random.Random(int(sys.argv[2]) if len(sys.argv) > 2 else 1)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # not ignored in what is started
    right = {"130", "ended whole", "before Python's handler", "in Python's own start", "lost in Python's own start"}
    wrong = 0
    part = sys.argv[3] if len(sys.argv) > 3 else ""
    commands = [command for command in COMMANDS if part in command]
    for command in commands:
        found = measure(command, number, dice)
        wrong += sum(count for how, count in found.items() if how not in right)
        print(f"{command.replace(str(TOP) + '/', '')}\n    {dict(found.most_common())}", flush=True)
    print(f"{wrong} of {number * len(commands)} ended in a way that is not right")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
