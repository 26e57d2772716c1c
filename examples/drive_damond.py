#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Drive damond by its sysfs files, as a script drives the kernel's DAMON.

Run it with ``python examples/drive_damond.py``. It starts a damond with a simulated machine, writes a context with one
scheme to the files below its mount, turns it on, and prints its state and what the scheme found. The machine's time
runs ten times as fast as the clock. damond's log goes to standard error. damond needs FUSE (/dev/fuse), but no DAMON in
the kernel; the same writes below /sys/kernel/mm/damon/admin configure the kernel's own.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path


def configure(kdamond: Path, pid: int) -> None:
    """One context for the process ``pid``, with one scheme that counts what is accessed in half of the samples."""
    files = {
        "contexts/nr_contexts": 1,
        "contexts/0/operations": "vaddr",
        "contexts/0/targets/nr_targets": 1,
        "contexts/0/targets/0/pid_target": pid,
        "contexts/0/schemes/nr_schemes": 1,
        "contexts/0/schemes/0/action": "stat",
        "contexts/0/schemes/0/access_pattern/sz/max": 2**64 - 1,
        "contexts/0/schemes/0/access_pattern/nr_accesses/min": 10,
        "contexts/0/schemes/0/access_pattern/nr_accesses/max": 20,
        "contexts/0/schemes/0/access_pattern/age/max": 2**32 - 1,
    }
    for name, value in files.items():
        (kdamond / name).write_text(f"{value}\n")


def monitor(mount: Path, kdamonds: Path, regions: int) -> None:
    """Turn a kdamond on until its scheme has found that many regions, and print their mean size."""
    (kdamonds / "nr_kdamonds").write_text("1\n")
    kdamond = kdamonds / "0"
    command = [sys.executable, "-m", "damon.cli.main", "pid", "--mount", str(mount), "main"]
    configure(kdamond, pid=int(subprocess.check_output(command)))
    (kdamond / "state").write_text("on\n")
    print("state:", (kdamond / "state").read_text().strip())
    stats = kdamond / "contexts/0/schemes/0/stats"
    while (nr := int((stats / "nr_tried").read_text())) < regions:
        time.sleep(0.05)
        (kdamond / "state").write_text("update_schemes_stats\n")
    print(f"accessed memory: {int((stats / 'sz_tried').read_text()) // nr >> 20} MiB a region, mean of {nr}")
    (kdamond / "state").write_text("off\n")
    print("state:", (kdamond / "state").read_text().strip())


def main() -> None:
    with tempfile.TemporaryDirectory() as directory:
        mount = Path(directory) / "sys"
        kdamonds = mount / "kernel/mm/damon/admin/kdamonds"
        options = ["--sim", "hot-cold", "--speed", "10", "--mount", str(mount)]
        with subprocess.Popen([sys.executable, "-m", "damon.cli.damond", *options]) as damond:
            try:
                while not kdamonds.is_dir():
                    if damond.poll() is not None:
                        sys.exit("damond ended; its log above says why")
                    time.sleep(0.05)
                monitor(mount, kdamonds, regions=50)
            finally:
                damond.terminate()


if __name__ == "__main__":
    main()
