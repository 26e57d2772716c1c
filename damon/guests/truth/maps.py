# SPDX-License-Identifier: GPL-2.0-only
"""Which page of which process a page frame was, and when, by what the agent in the guest saw in its looks.

A frame that a page was on in one look and not in the one before has come in between. Where another page had it before,
the middle between the last look with the one and the first with the other counts. Of several pages on a frame, the one
that was there first counts. Lines come from a guest: all is checked.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from damon.errors import InvalidInput
from damon.guests.truth.areas import Area, Areas
from damon.quoting import quoted

FOREVER: Final = 1 << 62
MAX_PAGE: Final = 1 << 51
MAX_LINE: Final = 1 << 13
#: Pages that come, of all looks.
MAX_COMING: Final = 1 << 25
MAX_PROCESSES: Final = 100_000
_TICK_NS: Final = 10_000_000


@dataclass(slots=True)
class Stay:
    """``owner`` has a frame from ``begin`` to ``end``, seen from ``first`` to ``seen``; guest times in ns."""

    owner: int
    begin: int
    first: int
    end: int = FOREVER
    seen: int = FOREVER


@dataclass
class Process:
    """A process of the guest from one execve to the next, and what it mapped when it was looked at last."""

    name: str
    pid: int
    areas: Areas
    looked: int  #: at the look before
    now: int = 0  #: at this look
    frames: dict[int, tuple[int, int]] = field(default_factory=dict)  #: of each page: its frame, its owner's number


class Maps:
    """What the agent wrote, piece by piece.

    Args:
        frames: page frames of the guest.
        hole_from: numbers of frames in the guest from this one on are higher by ``hole_by``.
        hole_by: see there.

    Attributes:
        marks: guest times before and after each mark.
        owners: area and page of each owner.
        stays: of each frame.
        first_end: when the first look ended; None: there was none.
        zero: frames that all processes share for pages of zeros.
        shared: pages that came to a frame which another page had and kept.
        moved: pages that came to another frame.
        unsure: pages whose frame another page had before, since the last look.
    """

    def __init__(self, frames: int, hole_from: int, hole_by: int) -> None:
        self._frames, self._hole_from, self._hole_by = frames, hole_from, hole_by
        self._rest = b""
        self._listing = False
        self._coming = 0
        self._process: Process | None = None
        self._alive: dict[int, Process] = {}
        self._holders: dict[int, list[int]] = {}
        self.processes: list[Process] = []
        self.marks: dict[int, tuple[int, int]] = {}
        self.owners: list[tuple[Area, int]] = []
        self.stays: dict[int, list[Stay]] = {}
        self.zero: set[int] = set()
        self.first_end: int | None = None
        self.shared = self.moved = self.unsure = 0

    def feed(self, data: bytes) -> None:
        """Read a part of the agent's output, which may end within a line.

        Raises:
            InvalidInput: a line is none of the agent's.
        """
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > MAX_LINE:
            raise self._wrong(self._rest)
        for line in lines:
            try:
                self._line(line.decode(errors="replace"))
            except (ValueError, IndexError):
                raise self._wrong(line) from None

    def at_first(self) -> list[int]:
        """Owners that had a frame in the first look."""
        end = -1 if self.first_end is None else self.first_end
        return [stay.owner for stays in self.stays.values() for stay in stays if stay.first <= end]

    def close(self) -> None:
        """There is no more: what is there stays."""
        for process in self._alive.values():
            process.areas.close(FOREVER)

    @staticmethod
    def _wrong(line: bytes) -> InvalidInput:
        return InvalidInput(
            f"truth: line of the agent: {quoted(line[:80].decode(errors='replace'))}: is damaged; record it again"
        )

    def _line(self, line: str) -> None:
        if self._listing:
            self._listed(line)
        elif line.startswith("+"):
            page, frame, nr = (int(word, 16) for word in line[1:].split(" "))
            self._come(page, frame, nr)
        elif line.startswith("-"):
            page, nr = (int(word, 16) for word in line[1:].split(" "))
            self._go(page, nr)
        else:
            self._word(line.split(" "))

    def _word(self, words: list[str]) -> None:
        match words:
            case ["process", number, pid, started, now, name]:
                self._begin(int(number, 16), int(pid), int(started, 16), int(now, 16), name)
            case ["areas"]:
                self._listing = True
                self._known().areas.begin(self._known().now)
            case ["gone", number, now]:
                self._gone(int(number, 16), int(now, 16))
            case ["mark", number, before, after]:
                self.marks[int(number, 16)] = self._time(before), self._time(after)
            case ["zero", frame, nr]:
                first = self._ram(int(frame, 16), int(nr, 16))
                self.zero.update(range(first, first + int(nr, 16)))
            case ["end", now]:
                self.first_end = self._time(now) if self.first_end is None else self.first_end
            case ["look" | "agent", *_]:
                pass
            case _:
                raise ValueError

    @staticmethod
    def _time(word: str) -> int:
        value = int(word, 16)
        if not 0 <= value < FOREVER:
            raise ValueError
        return value

    def _known(self) -> Process:
        if self._process is None:
            raise ValueError
        return self._process

    def _ram(self, frame: int, nr: int) -> int:
        """The frame's number among those of the guest's memory."""
        found = frame - self._hole_by if frame >= self._hole_from + self._hole_by else frame
        if not 0 < nr <= self._frames or not 0 <= found <= self._frames - nr:
            raise ValueError
        return found

    def _begin(self, number: int, pid: int, started: int, now: int, name: str) -> None:
        if not 0 <= now < FOREVER or not 0 <= started < FOREVER // _TICK_NS:
            raise ValueError
        process = self._alive.get(number)
        if process is None:
            if len(self.processes) >= MAX_PROCESSES:
                raise ValueError
            process = Process(name, pid, Areas(), max((started - 1) * _TICK_NS, 0))
            process.now = process.looked
            self._alive[number] = process
            self.processes.append(process)
        process.name = name
        process.looked, process.now = process.now, max(now, process.now)
        process.areas.looked = process.looked
        self._process = process

    def _listed(self, line: str) -> None:
        process = self._known()
        if line == ".":
            self._listing = False
            process.areas.end(process.now)
            return
        process.areas.add(line)

    def _gone(self, number: int, now: int) -> None:
        process = self._alive.pop(number, None)
        if process is None or not 0 <= now < FOREVER:
            raise ValueError
        process.looked, process.now = process.now, max(now, process.now)
        for frame, owner in process.frames.values():
            self._leave(process, frame, owner)
        process.frames.clear()
        process.areas.close(process.now)
        self._process = None

    def _come(self, page: int, frame: int, nr: int) -> None:
        process, first = self._known(), self._ram(frame, nr)
        if not 0 <= page <= MAX_PAGE - nr:
            raise ValueError
        self._coming += nr
        if self._coming > MAX_COMING:
            raise InvalidInput(f"truth: more than {MAX_COMING} pages come; record it with --only, or look less often")
        for number in range(nr):
            self._take(process, page + number, first + number)

    def _take(self, process: Process, page: int, frame: int) -> None:
        before = process.frames.get(page)
        if before is not None:
            self._leave(process, *before)
        area = process.areas.at(page)
        if frame in self.zero or area is None:
            process.frames.pop(page, None)
            return
        self.moved += before is not None
        owner = area.owners.get(page)
        if owner is None:
            owner = area.owners[page] = len(self.owners)
            self.owners.append((area, page))
        process.frames[page] = frame, owner
        holders = self._holders.setdefault(frame, [])
        holders.append(owner)
        if len(holders) > 1:
            self.shared += 1
            return
        self._stay(frame, owner, process)

    def _stay(self, frame: int, owner: int, process: Process) -> None:
        """``owner`` has the frame since some time after the last look."""
        begin = process.looked
        stays = self.stays.setdefault(frame, [])
        if stays and stays[-1].end > begin:
            last = stays[-1]
            if last.owner != owner:
                self.unsure += 1
            begin = (max(min(last.seen, last.end), begin, last.begin) + min(last.end, process.now)) // 2
            last.end = min(last.end, max(begin, last.begin))
        stays.append(Stay(owner, begin, process.now))

    def _go(self, page: int, nr: int) -> None:
        process = self._known()
        if not 0 < nr <= self._frames:
            raise ValueError
        for number in range(page, page + nr):
            found = process.frames.pop(number, None)
            if found is not None:
                self._leave(process, *found)

    def _leave(self, process: Process, frame: int, owner: int) -> None:
        holders = self._holders[frame]
        was_first = holders[0] == owner
        holders.remove(owner)
        if not was_first:
            return
        stay = self.stays[frame][-1]
        stay.seen, stay.end = process.looked, process.now
        if holders:
            self.stays[frame].append(Stay(holders[0], process.now, process.now))
