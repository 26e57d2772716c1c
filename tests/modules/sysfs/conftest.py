# SPDX-License-Identifier: GPL-2.0-only
"""A tree on made-up memory, written to and read as a shell would."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from damon.core import Damon
from damon.errors import DamonError
from damon.modules.sysfs import Admin, File
from tests.fakes import FakeMachine, FakeSpace

PAGE = 4096


class Handle:
    """A process as somebody holds it: closing it closes no other's."""

    def __init__(self, space: FakeSpace) -> None:
        self._space, self.closed = space, False

    def alive(self) -> bool:
        return self._space.exists and not self.closed

    def close(self) -> None:
        self.closed = True

    def __getattr__(self, name: str) -> Any:
        return getattr(self._space, name)


class Machine(FakeMachine):
    """Remembers who opened a process."""

    def __init__(self, **processes: FakeSpace) -> None:
        super().__init__(**processes)
        self.handles: list[Handle] = []

    def open_process(self, pid: int) -> Any:
        self.handles.append(Handle(super().open_process(pid)))
        return self.handles[-1]


class Tree:
    """``admin`` of a machine with a process 7."""

    def __init__(self) -> None:
        self.process = FakeSpace()
        self.process.areas = [(PAGE, 9 * PAGE), (99 * PAGE, 109 * PAGE), (9999 * PAGE, 10000 * PAGE)]
        self.machine = Machine(a=self.process)
        self.damon = Damon(self.machine)
        self.admin = Admin(self.damon)

    def write(self, path: str, value: object) -> None:
        node = self.admin.find(path)
        assert isinstance(node, File)
        data = value if isinstance(value, bytes) else f"{value}\n".encode()
        assert node.write(data) == len(data)

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

    @contextmanager
    def refused(self, number: int) -> Iterator[None]:
        """What is done inside fails with that errno."""
        with pytest.raises(DamonError) as caught:
            yield
        assert caught.value.errno == number, (errno.errorcode[caught.value.errno or 0], str(caught.value))

    def refuse(self, number: int, path: str, value: object) -> str:
        """The write fails so, and the file shows what it showed before."""
        before = self.read(path)
        with self.refused(number):
            self.write(path, value)
        assert self.read(path) == before
        return before

    def stage(self, ops: str = "vaddr", schemes: int = 0, regions: tuple[tuple[int, int], ...] = ()) -> str:
        """One kdamond, one context, one target; the context's path."""
        self.write("kdamonds/nr_kdamonds", 1)
        self.write("kdamonds/0/contexts/nr_contexts", 1)
        ctx = "kdamonds/0/contexts/0"
        self.write(f"{ctx}/operations", ops)
        self.write(f"{ctx}/targets/nr_targets", 1)
        if ops != "paddr":
            self.write(f"{ctx}/targets/0/pid_target", 7)
        self.write(f"{ctx}/targets/0/regions/nr_regions", len(regions))
        for index, (start, end) in enumerate(regions):
            self.write(f"{ctx}/targets/0/regions/{index}/start", start)
            self.write(f"{ctx}/targets/0/regions/{index}/end", end)
        self.write(f"{ctx}/schemes/nr_schemes", schemes)
        return ctx

    def state(self, command: str) -> None:
        self.write("kdamonds/0/state", command)

    def any_pattern(self, scheme: str) -> None:
        """A pattern that everything has."""
        for part in ("sz", "nr_accesses", "age"):
            self.write(f"{scheme}/access_pattern/{part}/max", 2**64 - 1)

    def aggregations(self, count: float = 1) -> None:
        self.machine.clock.sleep_us(round(count * 100_000))


@pytest.fixture
def tree() -> Iterator[Tree]:
    made = Tree()
    yield made
    made.admin.stop()
