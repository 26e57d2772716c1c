# SPDX-License-Identifier: GPL-2.0-only
"""Files beside a recording (``FILE.kdamonds``, ``.mem_footprint``), as ``damon record`` and damo write them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

_LARGEST: Final = 64 << 20
_PAGE: Final = 4096
_KIB: Final = 1024
#: Above all that is a time in ns, or a size in bytes.
MOST: Final = 1 << 62


def beside(path: Path, name: str) -> Any:
    """What lies beside the records; None where it does not, or is not JSON."""
    sibling = path.with_name(f"{path.name}.{name}")
    try:
        if not sibling.is_file() or sibling.stat().st_size > _LARGEST:
            return None
        return json.loads(sibling.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None


@dataclass(frozen=True)
class Footprint:
    """The memory in use at one look.

    Attributes:
        time_ns: of the look, since 1970.
        resident: bytes of the recorded processes.
        free: bytes (``MemFree``).
        total: bytes (``MemTotal``); None: not recorded.
        available: bytes (``MemAvailable``), free ones among them; None: not recorded.
    """

    time_ns: int
    resident: int
    free: int
    total: int | None
    available: int | None


def footprints(path: Path) -> Iterator[Footprint]:
    """The looks beside the records at ``path``, but for those that are not as expected."""
    looks = beside(path, "mem_footprint")
    for look in looks if isinstance(looks, list) else []:
        try:
            found = _footprint(look)
        except (KeyError, TypeError, ValueError, OverflowError):
            continue
        sizes = found.resident, found.free, found.total or 0, found.available or 0
        if all(0 <= value < MOST for value in (found.time_ns, *sizes)):
            yield found


def _footprint(look: Any) -> Footprint:
    free = resident = 0
    total = available = None
    for one in look["footprints"]:
        what = one["footprint"]
        if one["pid"] is None:
            free = int(what["free"]) * _KIB
            total, available = (int(what[name]) * _KIB if name in what else None for name in ("total", "available"))
        else:
            resident += int(what["resident"]) * _PAGE
    return Footprint(round(float(look["time"]) * 1e9), resident, free, total, available)
