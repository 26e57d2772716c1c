# SPDX-License-Identifier: GPL-2.0-only
"""A damond, and commands that see its tree where the kernel has its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.damond.conftest import Damond, serving

WORKLOADS = Path(__file__).parents[2] / "workloads"


class Machine:
    """A damond, and commands that see its tree where the kernel has its own."""

    def __init__(self, damond: Damond) -> None:
        self.damond, self.pid = damond, damond.pid
        self.pids = {self.pid: 1000}

    def sh(self, script: str, code: int = 0) -> str:
        return "".join(self.damond.sh(script, code=code))

    @property
    def nr(self) -> str:
        return (self.damond.admin / "kdamonds/nr_kdamonds").read_text().strip()


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Callable[[str], Machine]]:
    """A machine that plays a workload."""
    found: list[Damond] = []

    with serving(tmp_path) as go:

        def start(workload: str) -> Machine:
            found.append(go("--sim", str(WORKLOADS / f"{workload}.yaml")).wait())
            return Machine(found[-1])

        yield start
        for one in found:
            one.end()
            assert "Traceback" not in one.log.read_text()
