# SPDX-License-Identifier: GPL-2.0-only
"""Counters of a simulated machine over time: copies of its native words, and the tables that they are.

Copying is cheap, so it may be done at every aggregation (``damon.core.results``). Each time has the same words, so a
column is every n-th word of many copies.
"""

from __future__ import annotations

import ctypes
from array import array
from collections.abc import Mapping, Sequence
from ctypes import c_uint64, c_void_p
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from damon.mm.sim.layout import COUNTERS, MEMORY_EVENTS, SimArea, SimMemcg, SimNode, SimProc, SimState
from damon.mm.sim.placement import placement
from damon.model.machine import PAGE_SIZE
from damon.native import bind

if TYPE_CHECKING:
    from damon.mm.sim.machine import SimulatedMachine
    from damon.mm.sim.state import PlacedArea

Column: TypeAlias = "list[int] | list[float] | list[float | None] | list[str] | array[int] | array[float]"

_sum = bind("damon_words_sum", None, c_void_p, c_uint64, c_uint64, c_void_p, c_uint64, c_uint64, c_uint64, c_void_p)

_MACHINE: Final = ("psi_ns", "psi_end", *COUNTERS)
_NODE: Final = ("total", "wmark_min", "wmark_low", "wmark_high", "nr_free")
_AREA: Final = ("nr_present", "nr_swapped", "nr_active", "nr_huge", "faults", "refaults", "reclaimed", "touches")
_MEMCG: Final = (
    "nr_swapped", "age", "elow", "emin", "charged", "psi_ns", "psi_end", "faults", "refaults", "pgscan", "pgsteal",
    *(f"event_{name}" for name in MEMORY_EVENTS),
)  # fmt: skip
_PROCESS: Final = ("busy_until", "stall_ns", "faults", "refaults", "nr_present", "nr_swapped")
#: Columns of tables: the word, and what one of it is worth.
_COMMON: Final = {
    "resident_bytes": ("nr_present", PAGE_SIZE),
    "swapped_bytes": ("nr_swapped", PAGE_SIZE),
    "faults": ("faults", 1),
    "refaults": ("refaults", 1),
}
_AREA_COLUMNS: Final = {**_COMMON, "reclaimed_bytes": ("reclaimed", PAGE_SIZE)}


class Counters:
    """The words of ``machine`` that its tables come from; it must not be closed while they are copied."""

    def __init__(self, machine: SimulatedMachine) -> None:
        self._machine, state = machine, machine.state
        self._begin = machine.clock.now_ns()
        self._names: dict[tuple[str, int, str], int] = {}
        self.words: list[tuple[int, int]] = []  #: address and number of each part
        self._nr = 0
        m = ctypes.addressof(state.m)
        self._add("machine", 0, m, SimState, _MACHINE)
        for index in range(state.m.nr_node):
            self._add("node", index, m + SimState.node.offset + index * ctypes.sizeof(SimNode), SimNode, _NODE)
        self._areas = list(state.placed.values())
        for placed in self._areas:
            row = ctypes.addressof(state.area.rows[placed.id])
            self._add("area", placed.id, row, SimArea, _AREA)
            self._add("area", placed.id, row, SimArea, ("touch_ns",))
            names = [f"node_present.{node}" for node in range(state.m.nr_node)]
            self._part("area", placed.id, row + SimArea.node_present.offset, names)
            names = [f"node_rate.{node}" for node in range(state.m.nr_node)]
            self._part("area", placed.id, row + SimArea.node_rate.offset, names)
        for number in state.cgroups.ids.values():
            self._add("cgroup", number, ctypes.addressof(state.cgroups.memcg.rows[number]), SimMemcg, _MEMCG)
        for index in range(len(state.processes)):
            self._add("process", index, ctypes.addressof(state.process.rows[index]), SimProc, _PROCESS)

    def _add(self, kind: str, index: int, base: int, record: type[ctypes.Structure], names: Sequence[str]) -> None:
        """Fields of a record that lie side by side."""
        first = getattr(record, names[0]).offset
        assert [getattr(record, name).offset - first for name in names] == list(range(0, 8 * len(names), 8))
        self._part(kind, index, base + first, names)

    def _part(self, kind: str, index: int, at: int, names: Sequence[str]) -> None:
        self.words.append((at, len(names)))
        for name in names:
            self._names[kind, index, name] = self._nr
            self._nr += 1

    @property
    def nr(self) -> int:
        """Words of one time."""
        return self._nr

    def refresh(self) -> None:
        """The words are the machine's own."""

    def read(self) -> array[int]:
        """The words now."""
        words = array("Q")
        for at, nr in self.words:
            words.frombytes(ctypes.string_at(at, 8 * nr))
        return words

    def placement(self, time_ns: int) -> dict[str, Column]:
        """Rows of the table ``placement``: where areas are in physical memory now."""
        found = placement(self._machine)
        return {
            "time_ns": [time_ns] * len(found),
            "area": [placed.area for placed in found],
            "start": [placed.start for placed in found],
            "end": [placed.end for placed in found],
            "resident_bytes": [placed.resident_bytes for placed in found],
        }

    def tables(
        self, times: Sequence[int], words: array[int], stride: int | None = None
    ) -> dict[str, dict[str, Column]]:
        """Rows of the tables ``machine``, ``areas``, ``processes``, ``cgroups`` and ``nodes``.

        Args:
            times: ns, of each copy, since this was made.
            words: the copies.
            stride: words from the begin of one to that of the next; None: one follows the other.
        """
        at = _Words(array("Q", times), words, self._names, stride or self._nr, self._begin)
        state = self._machine.state
        return {
            "machine": self._machine_table(at),
            "areas": _joined([self._area_table(at, placed) for placed in self._areas]),
            "processes": _joined([self._process_table(at, index) for index in range(len(state.processes))]),
            "cgroups": _joined([self._cgroup_table(at, name, memcg) for name, memcg in state.cgroups.ids.items()]),
            "nodes": _joined([self._node_table(at, node) for node in range(state.m.nr_node)]),
        }

    def _machine_table(self, at: _Words) -> dict[str, Column]:
        state = self._machine.state
        areas, processes = [placed.id for placed in self._areas], range(len(state.processes))
        stalls = [at.column("process", index, "stall_ns") for index in processes]
        return {
            "time_ns": at.times,
            "free_bytes": at.total("node", range(state.m.nr_node), "nr_free", PAGE_SIZE),
            "resident_bytes": at.total("process", processes, "nr_present", PAGE_SIZE),
            "swapped_bytes": at.total("process", processes, "nr_swapped", PAGE_SIZE),
            "faults": at.total("area", areas, "faults"),
            "refaults": at.total("area", areas, "refaults"),
            "swap_ins": at.column("machine", 0, "pswpin"),
            "swap_outs": at.column("machine", 0, "pswpout"),
            "psi_some_us": at.waits("machine", 0),
            "slowdown": [
                1.0 + (max(row) / (at.begin + now) if at.begin + now else 0.0)
                for now, *row in zip(at.times, *stalls, strict=True)
            ],
        }

    @staticmethod
    def _area_table(at: _Words, placed: PlacedArea) -> dict[str, Column]:
        return {
            "time_ns": at.times,
            "area": [placed.area.name] * len(at.times),
            **at.columns("area", placed.id, _AREA_COLUMNS),
            "touch_ns": at.doubles("area", placed.id, "touch_ns"),
        }

    def _process_table(self, at: _Words, index: int) -> dict[str, Column]:
        return {
            "time_ns": at.times,
            "process": [self._machine.state.processes[index]] * len(at.times),
            **at.columns("process", index, _COMMON),
            "stall_us": at.total("process", [index], "stall_ns", divisor=1000),
        }

    def _cgroup_table(self, at: _Words, name: str, memcg: int) -> dict[str, Column]:
        below, rows = self._machine.state.cgroups.tree(memcg), self._machine.state.area.rows
        charged = [placed.id for placed in self._areas if rows[placed.id].memcg in below]
        return {
            "time_ns": at.times,
            "cgroup": [name] * len(at.times),
            "resident_bytes": at.total("area", charged, "nr_present", PAGE_SIZE),
            "swapped_bytes": at.total("cgroup", [memcg], "nr_swapped", PAGE_SIZE),
            **at.columns("cgroup", memcg, {"faults": ("faults", 1), "refaults": ("refaults", 1)}),
            "reclaimed_bytes": at.total("cgroup", [memcg], "pgsteal", PAGE_SIZE),
            "psi_some_us": at.waits("cgroup", memcg),
            **at.columns("cgroup", memcg, {name: (f"event_{name}", 1) for name in MEMORY_EVENTS}),
        }

    def _node_table(self, at: _Words, node: int) -> dict[str, Column]:
        state, nr = self._machine.state, len(at.times)
        areas, latencies = [area.id for area in self._areas], [spec.latency_ns for spec in state.ram.specs]
        resident = at.total("area", areas, f"node_present.{node}", PAGE_SIZE)
        return {
            "time_ns": at.times,
            "node": array("Q", [node]) * nr,
            **at.columns("node", node, {"free_bytes": ("nr_free", PAGE_SIZE)}),
            "resident_bytes": resident,
            "tier": array("Q", [len({one for one in latencies if one < latencies[node]})]) * nr,
            **self._touches(at, node, resident),
        }

    def _touches(self, at: _Words, node: int, resident: array[int]) -> dict[str, Column]:
        """Of a node: touches a second, and what one costs; unknown where memory has no nodes, or nothing touches it."""
        state = self._machine.state
        if not state.m.latency:
            unknown: list[float | None] = [None] * len(at.times)
            return {"touches_per_s": unknown, "touch_ns": unknown}
        total, cost = [0.0] * len(at.times), [0.0] * len(at.times)
        for area in self._areas:
            process = state.process.rows[state.area.rows[area.id].process]
            touch_ns = state.m.node[process.node].touch_ns[node]
            words = at.doubles("area", area.id, f"node_rate.{node}")
            # What rounding has left of pages that are gone is none.
            rates = [rate if there and rate > 0 else 0.0 for rate, there in zip(words, resident, strict=True)]
            total = [one + rate for one, rate in zip(total, rates, strict=True)]
            cost = [one + touch_ns * rate for one, rate in zip(cost, rates, strict=True)]
        return {
            "touches_per_s": [1e9 * one for one in total],
            "touch_ns": [of / one if one else None for of, one in zip(cost, total, strict=True)],
        }


@dataclass(frozen=True)
class _Words:
    """Copies of the words at several times."""

    times: array[int]
    words: array[int]
    names: Mapping[tuple[str, int, str], int]
    nr: int
    begin: int  #: the machine's time that ``times`` are since

    def column(self, kind: str, index: int, name: str) -> array[int]:
        """One word of each time."""
        return self.words[self.names[kind, index, name] :: self.nr]

    def columns(self, kind: str, index: int, named: Mapping[str, tuple[str, int]]) -> dict[str, Column]:
        return {name: self.total(kind, [index], word, factor) for name, (word, factor) in named.items()}

    def total(self, kind: str, indices: Sequence[int], name: str, factor: int = 1, divisor: int = 1) -> array[int]:
        """The sum over ``indices`` at each time."""
        at = array("Q", [self.names[kind, index, name] for index in indices])
        found = array("Q", bytes(8 * len(self.times)))
        _sum(
            self.words.buffer_info()[0], len(found), self.nr, at.buffer_info()[0], len(at), factor, divisor,
            found.buffer_info()[0],
        )  # fmt: skip
        return found

    def waits(self, kind: str, index: int) -> array[int]:
        """Memory pressure, us: waits that have begun, or queue, count as time passes."""
        ends = self.column(kind, index, "psi_end")
        if not any(ends):
            return self.total(kind, [index], "psi_ns", divisor=1000)
        rows = zip(self.times, self.column(kind, index, "psi_ns"), ends, strict=True)
        return array("Q", [(ns - max(end - self.begin - now, 0)) // 1000 for now, ns, end in rows])

    def doubles(self, kind: str, index: int, name: str) -> array[float]:
        found = array("d")
        found.frombytes(self.column(kind, index, name).tobytes())
        return found


def _joined(parts: Sequence[dict[str, Column]]) -> dict[str, Column]:
    """The rows of all ``parts`` by time, and at each time in the order of the parts."""
    if len(parts) <= 1:
        return dict(*parts)
    result: dict[str, Column] = {}
    for name, first in parts[0].items():
        joined: Any = first * len(parts)
        for place, part in enumerate(parts):
            joined[place :: len(parts)] = part[name]
        result[name] = joined
    return result
