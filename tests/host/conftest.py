# SPDX-License-Identifier: GPL-2.0-only
"""damond's tree in the place of the kernel's."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from pathlib import Path

import pytest

from damon.host.engine import HostDamon
from damon.host.found import take_parameters, take_tree
from tests.damond.conftest import Damond, serving


class Kernel:
    """What stands in for the running kernel, and how it looks."""

    def __init__(self, damond: Damond, directory: Path) -> None:
        self.admin, self.modules, self.state = damond.admin, damond.mount / "module", directory / "state"
        self.kdamonds, self.parameter = self.admin / "kdamonds", damond.parameter

    def open(self) -> HostDamon:
        return HostDamon(self.admin, self.modules, self.state)

    def look(self) -> dict[str, object]:
        """All that can be set, and what runs."""
        names = ("damon_reclaim", "damon_lru_sort", "damon_stat")
        found: dict[str, object] = {name: take_parameters(self.modules / name / "parameters") for name in names}
        found["tree"] = take_tree(self.kdamonds)
        found["enabled"] = [self.parameter(name, "enabled").read_text() for name in names]
        nr = int((self.kdamonds / "nr_kdamonds").read_text())
        found["states"] = [(self.kdamonds / f"{index}/state").read_text() for index in range(nr)]
        return found

    def settled(self) -> None:
        """Waits until no engine and no guardian is at work."""
        with (self.state / "lock").open() as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Damond]:
    with serving(tmp_path_factory.mktemp("damond")) as go:
        yield go().wait()


@pytest.fixture
def kernel(served: Damond, tmp_path: Path) -> Iterator[Kernel]:
    found = Kernel(served, tmp_path)
    before = found.look()
    yield found
    assert found.look() == before, "what this test left to the next"
