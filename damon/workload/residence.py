# SPDX-License-Identifier: GPL-2.0-only
"""The kernel's figures of a process's memory: ``/proc/PID/pagemap`` by areas, ``stat`` and ``statm`` as a whole.

Counted over whole bytes, for an emulated processor.
"""

from __future__ import annotations

import os
from array import array
from contextlib import suppress
from pathlib import Path
from typing import Final

PAGE: Final = 4096
PRESENT: Final = 1 << 63
SWAPPED: Final = 1 << 62
#: Of /proc/PID/stat, counted after the program's name, which may have blanks.
_MAJOR_FAULTS: Final = 9
_CHUNK: Final = 1 << 20


def pagemap(pid: int, start: int, end: int) -> array[int]:
    """One entry a page of ``[start, end)``, bytes.

    Raises:
        ProcessLookupError: the process or its memory is gone.
    """
    entries = array("Q")
    with open(f"/proc/{pid}/pagemap", "rb", buffering=0) as file:
        at, last = start // PAGE * 8, end // PAGE * 8
        while at < last:
            data = os.pread(file.fileno(), min(_CHUNK, last - at), at)
            if not data:
                raise ProcessLookupError(f"process {pid}: it has no memory any more")
            entries.frombytes(data)
            at += len(data)
    return entries


def count(entries: array[int], mask: int, wanted: int) -> int:
    """Entries with ``entry & mask == wanted``, for a mask within one byte."""
    shift = (mask.bit_length() - 1) // 8 * 8
    table = bytes((byte & (mask >> shift)) == wanted >> shift for byte in range(256))
    return entries.tobytes()[shift // 8 :: 8].translate(table).count(1)


def resident_bytes(pid: int, start: int, end: int) -> int:
    """Bytes of ``[start, end)`` that are in memory; 0 when the process is gone."""
    with suppress(ProcessLookupError, FileNotFoundError):
        return count(pagemap(pid, start, end), PRESENT, PRESENT) * PAGE
    return 0


def process_resident_bytes(pid: int, proc: Path = Path("/proc")) -> int:
    """Bytes of the whole process that are in memory; 0 when it is gone."""
    with suppress(ProcessLookupError, FileNotFoundError):
        return int((proc / str(pid) / "statm").read_text().split()[1]) * PAGE
    return 0


def major_faults(pid: int, proc: Path = Path("/proc")) -> int:
    """Faults of a process that had to wait for swap or a file: pages that came back, one a fault without huge pages.

    0 when the process is gone.
    """
    with suppress(ProcessLookupError, FileNotFoundError):
        return int((proc / str(pid) / "stat").read_text().rpartition(")")[2].split()[_MAJOR_FAULTS])
    return 0
