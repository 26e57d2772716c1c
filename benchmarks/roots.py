# SPDX-License-Identifier: GPL-2.0-only
"""What the host's root costs a guest beside the image's: boot, login, first and later starts of Python, by turns.

``python -m benchmarks.roots [ROUNDS]``. Seconds of wall time, and of processor time that QEMU took, which other work
on the host does not change much. Least of all rounds.
"""

from __future__ import annotations

import sys
import time

import psutil

from vmtest import Guest, GuestConfig
from vmtest.config import Timeouts

ROOTS: dict[str, tuple[str | None, str]] = {"image": (None, "python3"), "host": ("host", sys.executable)}
# A busy host is no reason to end.
PATIENT = Timeouts(boot=900, silence=300, login=300, command=900)
IMPORTS = "import json, msgspec, psutil, rich.table, yaml"


def _processor_seconds(guest: Guest) -> float:
    for child in psutil.Process().children(recursive=True):
        if child.cmdline() == guest.command_line:
            times = child.cpu_times()
            return float(times.user + times.system)
    raise RuntimeError("no QEMU")


def measure(root: str | None, python: str) -> dict[str, float]:
    """One guest: seconds by what was done."""
    found: dict[str, float] = {}
    with Guest(GuestConfig(root=root, timeouts=PATIENT)) as guest:
        found["boot and login"] = guest.timings["boot"] + guest.timings["login"]
        found["boot and login, QEMU's CPU"] = _processor_seconds(guest)
        for what, command in (
            ("first command", ["true"]),
            ("second command", ["true"]),
            ("first start of Python", [python, "-c", "0"]),
            ("second start of Python", [python, "-c", "0"]),
            ("first imports", [python, "-c", IMPORTS]),
            ("second imports", [python, "-c", IMPORTS]),
        ):
            before, began = _processor_seconds(guest), time.monotonic()
            guest.run(command, timeout=PATIENT.command).check()
            found[what] = time.monotonic() - began
            found[f"{what}, QEMU's CPU"] = _processor_seconds(guest) - before
    return found


def main(rounds: int) -> None:
    """Measures by turns and prints the least."""
    least: dict[str, dict[str, float]] = {name: {} for name in ROOTS}
    for _ in range(rounds):
        for name, (root, python) in ROOTS.items():
            for what, value in measure(root, python).items():
                least[name][what] = min(value, least[name].get(what, value))
    print(f"{'least of ' + str(rounds):42}" + "".join(f"{name:>9}" for name in ROOTS))
    for what in least["image"]:
        print(f"{what:42}" + "".join(f"{least[name][what]:8.2f}s" for name in ROOTS))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3)
