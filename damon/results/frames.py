# SPDX-License-Identifier: GPL-2.0-only
"""``frames.json`` of a run: where a workload was in physical memory, what was beside it, and how often accessed."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from damon import format_version
from damon.errors import InvalidInput
from damon.mm.frames import FrameRun
from damon.quoting import cut
from damon.results.run import regular

NAME: Final = "frames.json"
FORMAT: Final = 3
_MOST_BYTES: Final = 64 << 20
#: Limits of a file: page frames (of 4 TiB), accesses of one in a second, seconds before the modules are loaded, and
#: microseconds of a sleep, and
#: times the work.
_MOST_FRAMES: Final = 1 << 30
_MOST_RATE: Final = 1e6
_MOST_LEAD_S: Final = 3600.0
_MOST_LATE_US: Final = 1e6
_MOST_DELAY: Final = 1e3


@dataclass(frozen=True)
class Frames:
    """Where everything was.

    Attributes:
        lead_s: the workload had run for so long when the modules were loaded.
        system_ram: ranges, bytes.
        areas: of each area runs of pages: the first one's number in the area and its frame, and how many.
        beside: all else that monitoring sees, ascending.
        late_us: a sleep of 5 ms ended so much later on average, while the workload ran.
        run_delay: a thread waited so long for the processor for each unit of its processor time.
        free: in free blocks of the page allocator, ascending: the first frame, how many; None: not known.
        unrecorded_s: the modules had worked for so long at the time 0 of the run's rows.
    """

    lead_s: float
    system_ram: Sequence[tuple[int, int]]
    areas: Mapping[str, Sequence[tuple[int, int, int]]]
    beside: Sequence[FrameRun]
    late_us: float = 0.0
    free: Sequence[tuple[int, int]] | None = None
    unrecorded_s: float = 0.0
    run_delay: float = 0.0

    def write(self, directory: Path) -> None:
        """Into a run directory."""
        whole = {
            format_version.FIELD: FORMAT, "lead_s": self.lead_s, "system_ram": list(self.system_ram),
            "areas": {name: list(rows) for name, rows in self.areas.items()},
            "beside": [
                [one.pfn, one.nr, one.rate, one.charged, one.locked, one.mapped] for one in self.beside
            ],
            "late_us": self.late_us, "free": self.free, "unrecorded_s": self.unrecorded_s,
            "run_delay": self.run_delay,
        }  # fmt: skip
        (directory / NAME).write_text(json.dumps(whole, separators=(",", ":")) + "\n")

    @classmethod
    def read(cls, directory: Path) -> Frames | None:
        """Of a run directory; None: it has none.

        Raises:
            InvalidInput: the file is not such a one.
        """
        path = directory / NAME
        try:
            with os.fdopen(regular(path, _MOST_BYTES), "rb") as file:
                data = file.read(_MOST_BYTES)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise InvalidInput(f"{NAME}: {path}: cannot be read: {error.strerror}; run the guest again") from None
        try:
            return cls.parse(data)
        except (ValueError, RecursionError) as error:
            raise InvalidInput(f"{NAME}: {path}: {cut(str(error), 100)}; run the guest again") from None

    @classmethod
    def parse(cls, data: bytes) -> Frames:
        """What ``write`` wrote.

        Raises:
            ValueError: it is something else.
        """
        import msgspec

        head = msgspec.json.decode(data)
        later = format_version.refusal(head, FORMAT)
        if later is not None:
            raise ValueError(later)
        found = msgspec.json.decode(data, type=_file())
        areas: dict[str, Sequence[tuple[int, int, int]]] = found.areas
        for rows in areas.values():
            _ascending((page, nr) for page, _, nr in rows)
            if any(pfn + nr > _MOST_FRAMES for _, pfn, nr in rows):
                raise ValueError("a frame's number is too high")
        beside = [FrameRun(row.pfn, row.nr, row.rate, row.charged, row.locked, row.mapped) for row in found.beside]
        _ascending((one.pfn, one.nr) for one in beside)
        _ascending(found.free or ())
        last = found.unrecorded_s, found.run_delay
        return cls(found.lead_s, found.system_ram, areas, beside, found.late_us, found.free, *last)


def _ascending(rows: Iterable[tuple[int, int]]) -> None:
    end = 0
    for at, nr in rows:
        if at < end or at + nr > _MOST_FRAMES:
            raise ValueError("frames are not in order")
        end = at + nr


def _file() -> Any:
    """The form of the file, for msgspec."""
    from typing import Annotated

    import msgspec

    number = Annotated[int, msgspec.Meta(ge=0, le=_MOST_FRAMES)]
    some = Annotated[int, msgspec.Meta(ge=1, le=_MOST_FRAMES)]
    address = Annotated[int, msgspec.Meta(ge=0, le=1 << 62)]
    often = Annotated[float, msgspec.Meta(ge=0, le=_MOST_RATE)]
    lead = Annotated[float, msgspec.Meta(ge=0, le=_MOST_LEAD_S)]
    late = Annotated[float, msgspec.Meta(ge=0, le=_MOST_LATE_US)]
    delay = Annotated[float, msgspec.Meta(ge=0, le=_MOST_DELAY)]
    row = msgspec.defstruct("_Row", [
        ("pfn", number), ("nr", some), ("rate", often), ("charged", bool), ("locked", bool, False),  # of version 2
        ("mapped", number, 0),  # of version 3
    ], array_like=True, forbid_unknown_fields=True)  # fmt: skip
    fields: list[Any] = [
        ("lead_s", lead), ("system_ram", list[tuple[address, address]]),
        ("areas", dict[str, list[tuple[number, number, some]]]),
        ("beside", list[row]), ("late_us", late, 0.0),  # type: ignore[valid-type]
        ("free", list[tuple[number, some]] | None, None), ("unrecorded_s", lead, 0.0),
        ("run_delay", delay, 0.0),
    ]  # fmt: skip
    return msgspec.defstruct("_File", fields)
