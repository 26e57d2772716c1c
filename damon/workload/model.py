# SPDX-License-Identifier: GPL-2.0-only
"""A parsed, valid workload: what the simulator plays and the native program performs. Plain records.

Rates are in page touches: one touch is one access of a few bytes to one 4096-byte page. That keeps the meaning the same
on both machines, and the truth simple: how often was this page touched.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import Final

#: Memory comes and goes in multiples of this many bytes.
HOTPLUG: Final = 2 << 20


class Kind(enum.Enum):
    """What an area is made of."""

    ANON = "anon"
    FILE = "file"


class Pattern(enum.Enum):
    """The order in which an area's pages are touched."""

    SEQUENTIAL = "sequential"  #: page 0, 1, 2, ... and from the start again
    STRIDED = "strided"  #: offsets 0, stride, 2 stride, ... and from 0 again when past the area's end
    RANDOM = "random"  #: uniformly random pages
    ZIPF = "zipf"  #: page of rank r (its index, 1-based) with weight r ** -skew


@dataclass(frozen=True)
class Replay:
    """Where the accesses of an area come from: a part of a trace file (``damon.workload.tracefile``)."""

    path: str
    area: int  #: its number in the file
    begin_ns: int  #: the part of the file's time
    end_ns: int
    loop: bool = False  #: begin again at its end; else nothing is accessed from then on
    time_scale: float = 1.0  #: the time that it takes, by the time that it took
    size_scale: float = 1.0  #: the area's size, by the size that it had

    @property
    def duration_us(self) -> int:
        """The time that it takes."""
        return max(round((self.end_ns - self.begin_ns) * self.time_scale / 1000), 1)


@dataclass(frozen=True)
class Area:
    """A named mapping of one process. Unique by ``name`` in the whole file."""

    name: str
    size: int  #: bytes, a multiple of 4096
    kind: Kind = Kind.ANON
    process: str = "main"
    populate: bool = True  #: touch every page once when it is mapped; else pages appear at their first touch
    mapped_at_start: bool = True  #: else an mmap event maps it
    memcg: str = ""  #: cgroup that its pages are charged to; empty: the process's
    part_of: str = ""  #: the area of the file that this is a part of; empty: it is one itself
    replay: Replay | None = None  #: its accesses, and when it is mapped, are those of a trace; no phase has any of it
    locked: bool = False  #: by mlock(2): its pages never leave memory once they are there


@dataclass(frozen=True)
class ProcessSpec:
    """What is special about one process."""

    name: str
    memcg: str = ""  #: cgroup, e.g. ``web/worker``; empty: none
    node: int = 0  #: NUMA node of its processors
    late: bool = False  #: starts when its first area is mapped, and again when that is so after an exit


@dataclass(frozen=True)
class Cgroup:
    """The limits and the protection of one cgroup, with those below it: bytes, as in its files of these names.

    None is ``max``: no limit, or all of it protected.
    """

    name: str  #: path below the root
    max: int | None = None
    high: int | None = None
    low: int | None = 0
    min: int | None = 0
    swap_max: int | None = None


@dataclass(frozen=True)
class Access:
    """What one phase does to one area."""

    area: str
    rate: float  #: page touches per second over the whole area; > 0
    pattern: Pattern = Pattern.RANDOM
    write_share: float = 1.0  #: share of touches that write, 0..1
    stride: int = 4096  #: bytes, for STRIDED
    skew: float = 1.0  #: exponent, for ZIPF; > 0


class Event(enum.Enum):
    MMAP = "mmap"
    MUNMAP = "munmap"
    EXIT = "exit"


@dataclass(frozen=True)
class PhaseEvent:
    """Happens at the start of its phase. ``name`` is an area (mmap, munmap) or a process (exit)."""

    event: Event
    name: str


@dataclass(frozen=True)
class Hotplug:
    """Memory of the simulated machine that comes or goes as its phase begins, after areas go and before some come."""

    online: bool
    size: int  #: bytes, a multiple of ``HOTPLUG``
    node: int = 0


@dataclass(frozen=True)
class Phase:
    name: str
    duration_us: int  #: > 0
    accesses: tuple[Access, ...] = ()
    events: tuple[PhaseEvent, ...] = ()
    hotplug: tuple[Hotplug, ...] = ()


@dataclass(frozen=True)
class Swap:
    """A swap device of the simulated machine."""

    size: int  #: bytes
    read_us: float = 20.0  #: latency of one page in
    write_us: float = 5.0  #: time of one page out: compressed memory, or a disk that takes many at once
    priority: int | None = None  #: the highest is filled first; None: below all that have one, in the order given


@dataclass(frozen=True)
class Node:
    """A NUMA node of the simulated machine."""

    size: int  #: bytes of System RAM
    latency_ns: float = 100.0  #: what a touch from a processor of the same node costs
    distances: tuple[int, ...] = ()  #: to each node as in the kernel's table: 10 is here; empty: 20 to all others


@dataclass(frozen=True)
class MachineSpec:
    """The machine that the simulator provides (ignored where the machine is real)."""

    memory: int = 1 << 30  #: bytes of System RAM; placed as on a PC, with the hole below 4 GiB
    reserved: int = 0  #: bytes that the kernel and other programs hold: never free, never reclaimed
    swap: Swap | tuple[Swap, ...] | None = field(default_factory=lambda: Swap(1 << 30))
    file_read_us: float = 100.0  #: latency of one page of file read
    fault_us: float = 0.5  #: minor fault
    file_write_us: float = 100.0  #: time of one dirty file page written back
    reclaim_us: float = 1.0  #: processor time of taking one page away, on top of the writing
    scan_us: float = 0.1  #: processor time of looking at one page, or moving it from list to list
    migrate_us: float = 2.0  #: time of moving one page to another node
    thp: str = "madvise"  #: transparent huge pages: always, madvise, never
    huge_us: float = 100.0  #: time of clearing, or of copying together, a huge page
    nodes: tuple[Node, ...] = ()  #: ``memory`` in parts, in order of address; empty: one, and touches cost nothing
    check_us: float = 0.0  #: processor time of a worker for the sample of a region whose page is in memory
    wake_us: float = 0.0  #: a worker's sleep ends so much later, as a processor is busy
    hz: int = 250  #: ticks a second of its kernel: 100, 250, 300, 1000; 0: exact time

    @property
    def swaps(self) -> list[tuple[Swap, int]]:
        """The swap devices and their priorities, the highest first; ``swapon`` gives -2, -3, ... if none is given."""
        devices = self.swap if isinstance(self.swap, tuple) else (self.swap,) if self.swap else ()
        unsaid = iter(range(-2, -2 - len(devices), -1))
        ranked = [(device, next(unsaid) if device.priority is None else device.priority) for device in devices]
        return sorted(ranked, key=lambda item: -item[1])


@dataclass(frozen=True)
class Workload:
    """One workload file. Phases run in order; then from the first again if ``repeat``, else the last goes on."""

    name: str
    areas: tuple[Area, ...]
    phases: tuple[Phase, ...]
    repeat: bool = False
    machine: MachineSpec = field(default_factory=MachineSpec)
    process_specs: tuple[ProcessSpec, ...] = ()  #: those that the file describes
    cgroups: tuple[Cgroup, ...] = ()  #: those with limits or protection

    @property
    def processes(self) -> tuple[str, ...]:
        """Process names in order of first use."""
        return tuple(dict.fromkeys(area.process for area in self.areas))

    def process_spec(self, name: str) -> ProcessSpec:
        """What is special about the process ``name``."""
        return next((spec for spec in self.process_specs if spec.name == name), ProcessSpec(name))

    def memcg(self, area: Area) -> str:
        """The cgroup that an area's pages are charged to; empty: none."""
        return area.memcg or self.process_spec(area.process).memcg
