# SPDX-License-Identifier: GPL-2.0-only
"""Raw files of truth, made up: what the plugin and the agent would write."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from vmtest.truth import form

MS = 1_000_000
#: The host's clock is so far ahead of the guest's.
AHEAD_NS = 5_000 * MS
FRAMES = 4096
HEADER = form.Header(5 * MS, 100 * MS, False, FRAMES, FRAMES, 0, {"command": ["true"]})


def window(
    begin_ns: int, rows: Mapping[int, Sequence[int]], intervals: int = 20, width: int = 2, packed: bool = True
) -> bytes:
    """A window of 100 ms of guest time; ``rows`` are touched, written and the four others by frame."""
    frames = sorted(rows)
    columns = [struct.pack(f"<{len(frames)}I", *frames)]
    for number in range(6):
        code = "H" if number < 2 or width == 2 else "I"
        columns.append(struct.pack(f"<{len(frames)}{code}", *(rows[frame][number] for frame in frames)))
    data = b"".join(columns)
    host = begin_ns + AHEAD_NS
    head = form.WINDOW.pack(host, host + 100 * MS, intervals, len(frames), width, packed)
    return form.chunk(b"WIND", head + (zlib.compress(data) if packed else data))


def touched(times: int, written: int = 0) -> list[int]:
    """A row of user code's accesses."""
    return [times, written, times, written, 0, 0]


def mark(number: int, at_ns: int) -> tuple[bytes, str]:
    """A mark at a guest time: the plugin's chunk and the agent's line."""
    line = f"mark {number:x} {at_ns - 1000:x} {at_ns + 1000:x}\n"
    return form.chunk(b"MARK", form.MARK.pack(at_ns + AHEAD_NS, number, 0)), line


def raw(path: Path, chunks: Sequence[bytes], header: form.Header = HEADER) -> Path:
    """The file of such chunks."""
    path.write_bytes(header.bytes() + b"".join(chunks))
    return path


def small(path: Path) -> Path:
    """A process with four pages, one of which moves in the middle, and the zero page; 10 windows of 100 ms."""
    chunk, line = mark(1, 1000 * MS)
    first = f"agent 1 9\nzero 7 1\n{line}look {1000 * MS:x}\nprocess 1 9 60 {1000 * MS:x} prog\nareas\n"
    first += "400000-404000 rw-p 00000000 00:00 0\n.\n+400 10 4\n+404 7 1\n" + f"end {1001 * MS:x}\n"
    last, line = mark(2, 1600 * MS)
    second = f"{line}look {1600 * MS:x}\nprocess 1 9 60 {1600 * MS:x} prog\n+401 20 1\nend {1601 * MS:x}\n"
    rows = {0x10: touched(20, 20), 0x7: touched(3), 0x99: touched(1)}
    moving = [{0x11: touched(5)}] * 5 + [{0x20: touched(7)}] * 5
    windows = [window(at * 100 * MS, {**rows, **moving[at - 10]}) for at in range(10, 20)]
    return raw(path, [chunk, form.text_chunk(first.encode()), *windows, last, form.text_chunk(second.encode())])
