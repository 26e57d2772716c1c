# SPDX-License-Identifier: GPL-2.0-only
"""Counters of a real machine over time: copies of what an observer sees of it (``damon.cli.observe``)."""

from __future__ import annotations

import struct
from array import array
from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

from damon.model.machine import Machine
from damon.results.tables import Columns

_MACHINE: Final = ("free_bytes", "resident_bytes", "refaults", "psi_some_us", "slowdown")


class _Seen(Protocol):
    @property
    def free(self) -> int: ...

    @property
    def resident(self) -> int: ...

    @property
    def refaults(self) -> int: ...


class Observer(Protocol):
    """What is asked of one."""

    @property
    def machine(self) -> Machine: ...

    def look(self) -> _Seen: ...

    def areas(self) -> Mapping[str, Mapping[str, Any]]: ...

    def slowdown(self) -> float | None: ...


class ObservedCounters:
    """The words of what ``observer`` sees; ``refresh()`` lets it look."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer
        self._names = tuple(observer.areas())
        self._known = observer.slowdown() is not None
        self._values = array("Q", [0] * (len(_MACHINE) + len(self._names)))

    @property
    def words(self) -> Sequence[tuple[int, int]]:
        """Address and number of each part."""
        return [self._values.buffer_info()]

    @property
    def nr(self) -> int:
        return len(self._values)

    def refresh(self) -> None:
        """Let the observer look."""
        observer = self._observer
        seen, areas = observer.look(), observer.areas()
        slowdown = struct.unpack("=Q", struct.pack("=d", observer.slowdown() or 0.0))[0]
        values = [seen.free, seen.resident, max(seen.refaults, 0), observer.machine.psi_some_us(), slowdown]
        values += [areas[name]["resident_bytes_end"] if name in areas else 0 for name in self._names]
        self._values[:] = array("Q", values)

    def read(self) -> array[int]:
        return array("Q", self._values)

    def tables(self, times: Sequence[int], words: array[int], stride: int | None = None) -> Mapping[str, Columns]:
        stride = stride or self.nr
        columns = {name: words[index::stride] for index, name in enumerate(_MACHINE)}
        slowdown = array("d", columns["slowdown"].tobytes()).tolist() if self._known else [None] * len(times)
        machine: Columns = {
            "time_ns": list(times),
            **{name: columns[name].tolist() for name in _MACHINE[:-1]},
            "slowdown": slowdown,
        }
        resident = [words[index::stride] for index in range(len(_MACHINE), self.nr)]
        areas: Columns = {
            "time_ns": [time_ns for time_ns in times for _ in self._names],
            "area": list(self._names) * len(times),
            "resident_bytes": [value for row in zip(*resident, strict=True) for value in row],
        }
        return {"machine": machine, "areas": areas}
