# SPDX-License-Identifier: GPL-2.0-only
"""Boots guests one after the other, several at a time, and looks for what any of them leaves behind.

``python benchmarks/boots.py --count 200 --jobs 4 | tee boots.log``; ends with 1 on the first kind of trouble.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import psutil


@dataclass(frozen=True)
class Boot:
    """One guest: what its command ended with, its own name as the command printed it, and how long it all took."""

    number: int
    code: int
    right: bool
    seconds: float
    words: str


def boot(number: int) -> Boot:
    """A guest that prints a word of its own and ends with a code of its own."""
    word, code = f"guest-{number}", number % 100
    command = [sys.executable, "-m", "vmtest.cli", "exec", "--memory", "512M", "--verbose", "--"]
    begun = time.monotonic()
    command += ["sh", "-c", f"echo {word}; exit {code}"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    right = done.returncode == code and done.stdout == f"{word}\n"
    return Boot(number, done.returncode, right, time.monotonic() - begun, " | ".join(done.stderr.splitlines()))


def left(before: set[int]) -> list[str]:
    """Processes below this one, directories and listening QEMUs that were not there before."""
    found = [f"process {child.pid} {child.name()}" for child in psutil.Process().children(recursive=True)]
    for directory in Path(tempfile.gettempdir()).glob("vmtest.*"):
        owner = directory.name.split(".")[1]
        if not (owner.isdigit() and psutil.pid_exists(int(owner))):
            found.append(f"directory {directory}")
    for process in psutil.process_iter(["name", "ppid", "pid"]):
        # A supervisor's parent is init only when the one that started it is gone.
        if process.info["pid"] not in before and "qemu" in process.info["name"] and process.info["ppid"] == 1:
            found.append(f"process {process.info['pid']} {process.info['name']}")
    return found


def main() -> int:
    """The whole run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=200, help="guests (default: 200)")
    parser.add_argument("--jobs", type=int, default=4, help="at a time (default: 4)")
    options = parser.parse_args()
    before = {process.pid for process in psutil.process_iter()}
    descriptors = len(os.listdir("/proc/self/fd"))
    begun = time.monotonic()
    with ThreadPoolExecutor(options.jobs) as pool:
        boots = []
        for one in pool.map(boot, range(1, options.count + 1)):
            boots.append(one)
            print(f"{one.number:4} {'ok' if one.right else 'WRONG'} {one.seconds:5.1f} s  {one.words}", flush=True)
    wrong = [one for one in boots if not one.right]
    again = sum("started again" in one.words for one in boots)
    remains = left(before)
    open_now = len(os.listdir("/proc/self/fd"))
    if open_now > descriptors:
        remains.append(f"{open_now - descriptors} open files")
    times = [one.seconds for one in boots]
    print(
        f"{len(boots)} boots, {options.jobs} at a time, in {time.monotonic() - begun:.0f} s: {len(wrong)} wrong, "
        f"{again} started again by the harness, {len(remains)} left behind; "
        f"seconds each: median {statistics.median(times):.1f}, longest {max(times):.1f}"
    )
    print("\n".join(remains), end="\n" if remains else "")
    return 1 if wrong or remains else 0


if __name__ == "__main__":
    sys.exit(main())
