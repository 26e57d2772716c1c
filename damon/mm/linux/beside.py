# SPDX-License-Identifier: GPL-2.0-only
"""Which page frames a machine has in use beside some areas, and how often each is accessed: by idle page tracking.

Accessed bits are cleared, so nothing else may monitor meanwhile. C does the work in few calls: on an emulated processor
each call takes a large part of an interval.
"""

from __future__ import annotations

import ctypes
import itertools
import math
import os
import re
import threading
import time
import zlib
from array import array
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from damon.errors import MissingCapability
from damon.mm.frames import FrameRun
from damon.mm.linux.machine import LinuxMachine
from damon.mm.linux.native import Files, Sampler, checked, drain
from damon.model.arrays import Buffer
from damon.model.clock import Clock
from damon.model.machine import PAGE_SHIFT, PAGE_SIZE

#: Rounds over all frames, and then over those that were accessed in one of them.
LONG_ROUNDS, LONG_US = 10, 100_000
SHORT_ROUNDS, SHORT_US = 16, 5_000
#: Sleeps, to see how late they end: of two seconds, so that what is done once a second is in it.
LATE_ROUNDS: Final = 400
#: Work before each, as a monitor with some hundred regions has it.
WORK_NS: Final = 1_000_000
#: Frames of a short round at a time: marking and reading them has to take less than the interval.
_CHUNK: Final = 256
#: Frames of all short rounds at most, those with most accesses: so that they take seconds, and not minutes.
_MOST_SHORT: Final = 64 * _CHUNK
#: Frames whose flags are read at a time, where memory is to stay as it is meanwhile.
_READ: Final = 8192
#: KPF_LRU, in the first byte of a frame's flags, KPF_BUDDY and KPF_ANON, in the second, and KPF_UNEVICTABLE, in the
#: third.
_LRU: Final = 1 << 5
_BUDDY: Final = 1 << 10 - 8
_ANON: Final = 1 << 12 - 8
_UNEVICTABLE: Final = 1 << 18 - 16
_IS_LRU: Final = bytes(bool(byte & _LRU) for byte in range(256))
_IS_FREE: Final = bytes(bool(byte & _BUDDY) for byte in range(256))
_IS_UNEVICTABLE: Final = bytes(bool(byte & _UNEVICTABLE) for byte in range(256))
_FRAME: Final = (1 << 55) - 1
_PRESENT: Final = 1 << 63


def rate(seen: int, rounds: int, seconds: float) -> float:
    """Accesses a second of a page that was accessed in ``seen`` of ``rounds`` intervals of ``seconds``.

    Of a page that was accessed in each of them only a bound is known: it counts as in half an interval less.
    """
    return -math.log(1 - min(seen, rounds - 0.5) / rounds) / seconds


def runs(frames: Iterable[FrameRun]) -> list[FrameRun]:
    """Neighbours that are alike as one, of ascending frames."""
    found: list[FrameRun] = []
    for one in frames:
        last = found[-1] if found else None
        if last is not None and replace(one, pfn=last.pfn, nr=last.nr) == last and last.pfn + last.nr == one.pfn:
            found[-1] = replace(last, nr=last.nr + one.nr)
        else:
            found.append(one)
    return found


def busiest(counts: Iterable[tuple[int, int]], most: int) -> array[int]:
    """Of frames and how often each was accessed: those that were, up to ``most`` of the most accessed, ascending."""
    seen = sorted((-count, pfn) for pfn, count in counts if count)
    return array("Q", sorted(pfn for _, pfn in seen[:most]))


def frames_of(pid: int, start: int, end: int) -> list[int]:
    """The frame of each page of ``[start, end)``, bytes; -1: it is not in memory."""
    from damon.workload.residence import pagemap

    return [entry & _FRAME if entry & _PRESENT else -1 for entry in pagemap(pid, start, end)]


def own_frames(pid: int) -> set[int]:
    """All that a process has in memory."""
    found: set[int] = set()
    with open(f"/proc/{pid}/maps") as file:
        spans = [line.split(" ", 1)[0].split("-") for line in file]
    for start, end in spans:
        first, last = int(start, 16), int(end, 16)
        if last < 1 << 63:
            found.update(frames_of(pid, first, last))
    return found


@dataclass(frozen=True)
class Using:
    """What frames were at a moment, one byte each, compressed: little memory has been used to find out.

    Attributes:
        listed: 1: on an LRU list.
        free: 1: in a free block of the page allocator. Free frames in a processor's list are not known.
    """

    listed: bytes
    free: bytes

    @classmethod
    def now(cls, files: Files) -> Using:
        listed, free = zlib.compressobj(1), zlib.compressobj(1)
        drain_lists(files)
        found, at = [b"", b""], 0
        while flags := os.pread(files.kpageflags, 8 * _READ, at):
            at += len(flags)
            found[0] += listed.compress(flags[::8].translate(_IS_LRU))
            found[1] += free.compress(flags[1::8].translate(_IS_FREE))
        return cls(found[0] + listed.flush(), found[1] + free.flush())

    def listed_frames(self) -> set[int]:
        """Those on LRU lists."""
        return {pfn for one in _ones(self.listed) for pfn in range(*one)}

    def free_runs(self) -> list[tuple[int, int]]:
        """The first frame and the number of frames, ascending."""
        return [(first, end - first) for first, end in _ones(self.free)]


def _ones(compressed: bytes) -> list[tuple[int, int]]:
    return [one.span() for one in re.finditer(b"\x01+", zlib.decompress(compressed))]


def drain_lists(files: Files) -> None:
    """Puts pages on the LRU lists that wait for it in lists of processors: a program's newest, often its busiest."""
    before = os.sched_getaffinity(0)
    try:
        for cpu in before:
            os.sched_setaffinity(0, {cpu})
            checked(drain(files.pointer))
    finally:
        os.sched_setaffinity(0, before)


@dataclass(frozen=True)
class Pace:
    """How long a thread waits for a processor, if it sleeps and works alternately as a monitor's does.

    Attributes:
        late_ns: after a sleep, if it works for next to nothing.
        run_delay: more for each unit of processor time that it works.
    """

    late_ns: int
    run_delay: float

    @classmethod
    def measured(cls, clock: Clock, work_ns: int = WORK_NS) -> Pace:
        """By 400 sleeps of this thread of 5 ms each, and 400 more with ``work_ns`` of work before each."""
        late_ns = sleeps_late_ns(clock)
        return cls(late_ns, max(sleeps_late_ns(clock, work_ns=work_ns) - late_ns, 0) / work_ns)


def sleeps_late_ns(
    clock: Clock, rounds: int = LATE_ROUNDS, us: int = SHORT_US, work_ns: int = 0,
    worked_ns: Callable[[], int] = time.thread_time_ns,
) -> int:  # fmt: skip
    """By how much ``rounds`` sleeps of ``us`` of this thread, each after some work, end late on average, ns.

    Timers are as exact as those of a kernel's thread meanwhile.

    Args:
        clock: has the sleeps.
        rounds: how many.
        us: length of each.
        work_ns: processor time that the thread uses before each; what it waits meanwhile counts as late.
        worked_ns: the thread's processor time.
    """
    slack = Path(f"/proc/{threading.get_native_id()}/timerslack_ns")
    before = slack.read_text()
    slack.write_text("1")
    try:
        late = 0
        for _ in range(rounds):
            begin, first_ns, own_ns = clock.now_ns(), worked_ns(), 0
            while own_ns < work_ns:
                own_ns = worked_ns() - first_ns
            clock.sleep_us(us)
            late += clock.now_ns() - begin - us * 1000 - own_ns
    finally:
        slack.write_text(before)
    return max(late, 0) // rounds


class Watch:
    """Looks at all frames on LRU lists but ``without``, for two to eight seconds.

    Programs have bursts. The short rounds over a frame are spread over all of that time, so that its rate is a mean.

    This process is busy meanwhile. It is to end then: its own memory is left out. Of programs and libraries that other
    processes have mapped, too, not more is known than whether they were accessed.

    Args:
        machine: this one, which nothing else monitors.
        without: frames to leave out.
        memcg_id: the number of a cgroup (its inode), whose frames are marked as charged; 0: none.

    Raises:
        MissingCapability: no idle page tracking, or not root.
    """

    def __init__(self, machine: LinuxMachine, without: Iterable[int], memcg_id: int = 0) -> None:
        self._clock, self._files = machine.clock, machine.files()
        drain_lists(self._files)
        flags = self._read(self._files.kpageflags, max(end for _, end in machine.system_ram()) // PAGE_SIZE)
        mask = bytearray(flags[::8].translate(_IS_LRU))
        self._locked = flags[2::8].translate(_IS_UNEVICTABLE)
        own = {pfn for pfn in own_frames(os.getpid()) if 0 <= pfn < len(mask)}
        mine = {pfn for pfn in own if flags[8 * pfn + 1] & _ANON}
        self._shared = own - mine
        for pfn in itertools.chain(without, mine):
            if 0 <= pfn < len(mask):
                mask[pfn] = 0
        self.pfns = array("Q", (pfn for one in re.finditer(b"\x01+", mask) for pfn in range(*one.span())))
        self._charged = self._charged_to(memcg_id)
        self._mapped = self._mapped_by()
        self._long = self._round_all(LONG_ROUNDS, LONG_US, self.pfns, max(len(self.pfns), 1))
        counts = map(sum, zip(*self._long.answers, strict=True))
        self.hot = busiest(
            (pair for pair in zip(self.pfns, counts, strict=True) if pair[0] not in self._shared), _MOST_SHORT
        )
        self._short = self._round_all(SHORT_ROUNDS, SHORT_US, self.hot, _CHUNK)

    @staticmethod
    def _read(file: int, frames: int) -> bytes:
        """What the kernel has for each frame, 8 bytes of each."""
        size, data = frames * 8, bytearray()
        while len(data) < size and (more := os.pread(file, min(1 << 20, size - len(data)), len(data))):
            data += more
        return bytes(data)

    def _charged_to(self, memcg_id: int) -> set[int]:
        if not memcg_id or self._files.kpagecgroup < 0 or not self.pfns:
            return set()
        of = memoryview(self._read(self._files.kpagecgroup, self.pfns[-1] + 1)).cast("Q")
        return {pfn for pfn in self.pfns if pfn < len(of) and of[pfn] == memcg_id}

    def _mapped_by(self) -> dict[int, int]:
        """How many processes map each frame, where several do."""
        try:
            file = os.open("kpagecount", os.O_RDONLY | os.O_CLOEXEC, dir_fd=self._files.proc)
        except OSError as error:
            why = f"file: kpagecount: {error.strerror}; run as root on a kernel with CONFIG_PROC_PAGE_MONITOR"
            raise MissingCapability(why) from None
        try:
            count = memoryview(self._read(file, self.pfns[-1] + 1 if self.pfns else 0)).cast("Q")
        finally:
            os.close(file)
        # This process ends, and maps what it shares with others no more.
        mapped = {pfn: count[pfn] - (pfn in self._shared) for pfn in self.pfns if pfn < len(count)}
        return {pfn: nr for pfn, nr in mapped.items() if nr > 1}

    def _round_all(self, rounds: int, us: int, pfns: Sequence[int], chunk: int) -> _Rounds:
        """``rounds`` over all of ``pfns``, ``chunk`` at a time."""
        parts = [
            _Part(self._files, pfns[at : at + chunk]) for at in range(0, len(pfns), chunk)
        ]  # fmt: skip
        answers, spent_ns = [], 0
        for _ in range(rounds):
            found = bytearray()
            for part in parts:
                begin = self._clock.now_ns()
                part.mkold()
                middle = self._clock.now_ns()
                self._clock.sleep_us(us)
                reading = self._clock.now_ns()
                found += part.young()
                # Each page is marked and read in the order of the others.
                spent_ns += reading - middle + (self._clock.now_ns() - reading + middle - begin) // 2
            answers.append(bytes(found))
        return _Rounds(answers, spent_ns / 1e9 / max(rounds * len(parts), 1))

    @property
    def seconds(self) -> tuple[float, float]:
        """The mean length of a long and of a short interval."""
        return self._long.seconds, self._short.seconds

    def runs(self, shared_rate: float = 1.0) -> list[FrameRun]:
        """What was seen. ``shared_rate``: accesses a second of what this process shares, if there were any."""
        long = list(map(sum, zip(*self._long.answers, strict=True)))
        short = dict(zip(self.hot, map(sum, zip(*self._short.answers, strict=True)), strict=True))
        return runs(
            FrameRun(
                pfn,
                1,
                shared_rate if seen and pfn in self._shared else self._rate(seen, short.get(pfn)),
                pfn in self._charged,
                bool(self._locked[pfn]),
                self._mapped.get(pfn, 1),
            )
            for pfn, seen in zip(self.pfns, long, strict=True)
        )

    def _rate(self, seen: int, briefly: int | None) -> float:
        if briefly:
            return round(rate(briefly, SHORT_ROUNDS, self._short.seconds), 3)
        return round(rate(seen, LONG_ROUNDS, self._long.seconds), 3) if seen else 0.0


@dataclass(frozen=True)
class _Rounds:
    """One byte a frame and round, 1: accessed; the mean interval."""

    answers: Sequence[bytes]
    seconds: float


class _Part:
    """Frames that are marked and read together."""

    def __init__(self, files: object, pfns: Sequence[int]) -> None:
        self._nr = len(pfns)
        self._sampler = Sampler(files)  # type: ignore[arg-type]
        self._addrs = Buffer(ctypes.c_uint64, self._nr)
        for at, pfn in enumerate(pfns):
            self._addrs[at] = pfn << PAGE_SHIFT
        self._out = Buffer(ctypes.c_uint8, self._nr)

    def mkold(self) -> None:
        self._sampler.mkold_phys(self._addrs, self._nr)

    def young(self) -> bytes:
        self._sampler.young_phys(self._nr, self._out)
        return ctypes.string_at(self._out.pointer_to(self._nr), self._nr)
