# SPDX-License-Identifier: GPL-2.0-only
"""A damond, and commands that see its tree where the kernel has its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.damond.conftest import PROBLEM, Damond
from tests.waiting import HANG_S

#: Ends the command unless these are the emulation's files.
SURE = '[ "$(stat -f -c %T /sys/kernel/mm/damon/admin /sys/module/damon_reclaim | sort -u)" = fuseblk ] || exit 99; '
WORKLOADS = Path(__file__).parents[2] / "workloads"


class Machine:
    """A damond, and commands that see its tree where the kernel has its own."""

    def __init__(self, damond: Damond) -> None:
        self.damond = damond
        (process,) = damond.status()["processes"]
        self.pid = int(process["pid"])
        self.pids = {self.pid: 1000}

    def sh(self, script: str, code: int = 0) -> str:
        words = [sys.executable, "-m", "damon.cli.main", "exec", "--", "sh", "-c", SURE + script]
        environment = dict(self.damond.environment, PATH=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
        done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=HANG_S, check=False)
        assert done.returncode == code, (script, done.stdout, done.stderr)
        return done.stdout + done.stderr

    @property
    def nr(self) -> str:
        return (self.damond.admin / "kdamonds/nr_kdamonds").read_text().strip()


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Callable[[str], Machine]]:
    """A machine that plays a workload."""
    if PROBLEM:
        pytest.skip(PROBLEM)
    found: list[Damond] = []

    def start(workload: str) -> Machine:
        found.append(Damond(tmp_path, "--sim", str(WORKLOADS / f"{workload}.yaml")))
        return Machine(found[-1].wait())

    yield start
    for one in found:
        one.end()
        assert "Traceback" not in one.log.read_text()
