# SPDX-License-Identifier: GPL-2.0-only
"""Random machines that replay a trace beside areas of their own, and traces whose rows are damaged."""

from __future__ import annotations

import struct
from dataclasses import replace
from pathlib import Path
from random import Random

from damon.workload.load import parse_workload
from damon.workload.model import Workload
from damon.workload.tracefile.reader import Trace
from tests.mm.sim.random_workloads import NODES, SWAPS


def replayed(rnd: Random, path: Path) -> Workload:
    """Scaled, cut or repeated in any way; memory for all of it or not; one node or several."""
    length_us = Trace(path).description.duration_ns // 1000
    spec = {
        "trace": str(path), "loop": rnd.random() < 0.5, "populate": rnd.random() < 0.6,
        "time_scale": rnd.choice([1, 1, 0.2, 3.3]), "size_scale": rnd.choice([1, 1, 0.4, 2, 3.7]),
        "process": rnd.choice(["", "", "main"]), "to": rnd.choice([length_us, max(length_us * 2 // 3, 1)]),
    }  # fmt: skip
    accesses = [{"area": "own", "rate": rnd.choice([300, 1e5]), "pattern": rnd.choice(["zipf", "sequential"])}]
    phases = [{"duration": rnd.choice([900, 50_000]), "access": accesses[: rnd.randint(0, 1)]} for _ in range(2)]
    machine = {
        "thp": rnd.choice(["never", "madvise", "always"]), "memory": rnd.choice(["4M", "16M", "64M"]),
    }  # fmt: skip
    data = {"areas": {"own": {"size": "1M"}, "replay": spec}, "phases": phases, "repeat": True, "machine": machine}
    workload = parse_workload(data)
    nodes = rnd.choice([(), (), *NODES])
    memory = sum(node.size for node in nodes) if nodes else workload.machine.memory
    return _with(workload, memory=memory, nodes=nodes, swap=rnd.choice(SWAPS))


def _with(workload: Workload, **machine: object) -> Workload:
    return replace(workload, machine=replace(workload.machine, **machine))  # type: ignore[arg-type]


def damage(path: Path, rnd: Random) -> None:
    """Random bytes in rows and sums, as of a file that is too big to be checked whole."""
    trace = Trace(path)
    spans = [
        (window.offset, -(-window.nr // 16) * 8 + window.nr * 12)
        for space in trace.description.spaces
        for level in space.levels
        for window in (trace._window(level, number) for number in range(level.nr))
    ]
    data = bytearray(path.read_bytes())
    for offset, size in rnd.sample(spans, min(len(spans), 20)):
        for _ in range(rnd.randint(1, 5)):
            at = offset + rnd.randrange(size)
            value = rnd.choice([rnd.randbytes(1), b"\xff" * 4, struct.pack("<f", float("nan")), bytes(8)])
            data[at : min(at + len(value), offset + size)] = value[: offset + size - at]
    path.write_bytes(data)
