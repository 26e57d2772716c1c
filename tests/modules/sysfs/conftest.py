# SPDX-License-Identifier: GPL-2.0-only
"""A tree on made-up memory, written to and read as a shell would."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from damon.core import Damon
from damon.errors import DamonError
from damon.model.context import DamonCtx
from damon.modules.sysfs import Admin, File
from tests.fakes import FakeMachine, FakeSpace
from tests.refusals import refused

PAGE = 4096
C = "kdamonds/0/contexts/0"
S = f"{C}/schemes/0"


class Handle:
    """An open process: closing one leaves the others open."""

    def __init__(self, space: FakeSpace) -> None:
        self._space, self.closed = space, False

    def alive(self) -> bool:
        return self._space.exists and not self.closed

    def close(self) -> None:
        self.closed = True

    def __getattr__(self, name: str) -> Any:
        return getattr(self._space, name)


class Machine(FakeMachine):
    """Keeps each handle of a process that was opened."""

    def __init__(self, *processes: FakeSpace) -> None:
        super().__init__(processes=processes)
        self.handles: list[Handle] = []

    def open_process(self, pid: int) -> Any:
        self.handles.append(Handle(super().open_process(pid)))
        return self.handles[-1]


class Tree:
    """``admin`` of a machine with a process 7."""

    def __init__(self, level: str = "7.3") -> None:
        self.process = FakeSpace()
        self.process.areas = [(PAGE, 9 * PAGE), (99 * PAGE, 109 * PAGE), (9999 * PAGE, 10000 * PAGE)]
        self.machine = Machine(self.process)
        self.damon = Damon(self.machine, level=level)
        self.admin = Admin(self.damon)

    def write(self, path: str, value: object) -> None:
        node = self.admin.find(path)
        assert isinstance(node, File)
        data = value if isinstance(value, bytes) else f"{value}\n".encode()
        assert node.write(data) == len(data)

    def fill(self, directory: str, values: Mapping[str, object]) -> None:
        """Write each file below ``directory``."""
        for name, value in values.items():
            self.write(f"{directory}/{name}", value)

    def read(self, path: str) -> str:
        node = self.admin.find(path)
        assert isinstance(node, File)
        return node.read().decode()

    def has(self, path: str) -> bool:
        try:
            self.admin.find(path)
        except DamonError:
            return False
        return True

    def refuse(self, number: int, path: str, value: object) -> str:
        """The write fails with that errno, and the file reads as before."""
        before = self.read(path)
        with refused(number):
            self.write(path, value)
        assert self.read(path) == before
        return before

    def stage(self, ops: str = "vaddr", schemes: int = 0, regions: tuple[tuple[int, int], ...] = ()) -> str:
        """One kdamond, one context, one target; the context's path."""
        self.write("kdamonds/nr_kdamonds", 1)
        self.write("kdamonds/0/contexts/nr_contexts", 1)
        self.fill(C, {"operations": ops, "targets/nr_targets": 1})
        if ops != "paddr":
            self.write(f"{C}/targets/0/pid_target", 7)
        self.write(f"{C}/targets/0/regions/nr_regions", len(regions))
        for index, (start, end) in enumerate(regions):
            self.fill(f"{C}/targets/0/regions/{index}", {"start": start, "end": end})
        self.write(f"{C}/schemes/nr_schemes", schemes)
        return C

    @property
    def ctx(self) -> DamonCtx:
        """The first kdamond's, which was started."""
        ctx = self.admin.kdamonds[0].ctx
        assert ctx is not None
        return ctx

    def state(self, command: str) -> None:
        self.write("kdamonds/0/state", command)

    def any_pattern(self, scheme: str = S) -> None:
        """A pattern that matches every region."""
        self.fill(f"{scheme}/access_pattern", dict.fromkeys(("sz/max", "nr_accesses/max", "age/max"), 2**64 - 1))

    def aggregations(self, count: float = 1) -> None:
        self.machine.clock.sleep_us(round(count * 100_000))


@pytest.fixture
def next_tree() -> Iterator[Tree]:
    """At the level after 7.3."""
    made = Tree("next")
    yield made
    made.admin.stop()


@pytest.fixture
def tree() -> Iterator[Tree]:
    made = Tree()
    yield made
    made.admin.stop()
