# SPDX-License-Identifier: GPL-2.0-only
"""QEMU's dump of a guest's memory as a file that its readers take: makedumpfile's compressed format, seekable."""

from __future__ import annotations

import errno
import re
import struct
from pathlib import Path

CHUNK = 1 << 20
FLAT = b"makedumpfile\0"
FLAT_HEADER = 4096
SIGNATURE = b"KDUMP   "
# struct new_utsname after signature and version; six fields: sysname, nodename, release, version, machine, domainname.
NAMES_AT = 12
NAME_BYTES = 65
# Where struct kdump_sub_header, in the second block, has the place and the size of VMCOREINFO.
VMCOREINFO_AT = 4096 + 32
_RELEASE = re.compile(rb"^OSRELEASE=(.+)$", re.MULTILINE)


def finish(part: Path, path: Path) -> None:
    """Makes the file ``path`` of what QEMU wrote to ``part``.

    Raises:
        OSError: no room, or it ends too early.
    """
    with part.open("rb") as source:
        flat = source.read(len(FLAT)) == FLAT
    if flat:
        _reassemble(part, path)
    else:
        part.rename(path)
    path.chmod(0o600)
    _name(path)


def _reassemble(part: Path, path: Path) -> None:
    """Puts the pieces in their places: QEMU writes them one after the other, as for a pipe. Readers would take that
    slowly, or not at all."""
    with part.open("rb") as source, path.open("wb") as target:
        source.seek(FLAT_HEADER)
        while True:
            offset, size = struct.unpack(">qq", _read(source.read(16), 16))
            if offset < 0:
                return
            target.seek(offset)
            while size > 0:
                count = min(size, CHUNK)
                target.write(_read(source.read(count), count))
                size -= count


def _read(data: bytes, size: int) -> bytes:
    if len(data) < size:
        raise OSError(errno.EIO, "it ends too early")
    return data


def _name(path: Path) -> None:
    """Fills in what system it was: QEMU gives the processor only, and drgn's library then believes none of it."""
    with path.open("r+b") as stream:
        if stream.read(len(SIGNATURE)) != SIGNATURE:
            return
        stream.seek(VMCOREINFO_AT)
        head = stream.read(16)
        offset, size = struct.unpack("<QQ", head) if len(head) == 16 else (0, 0)
        # Data from the guest's kernel, which is not trusted.
        if not 0 < offset < path.stat().st_size:
            return
        stream.seek(offset)
        match = _RELEASE.search(stream.read(min(size, CHUNK)))
        if match is None:
            return
        for number, name in enumerate((b"Linux", b"guest", match[1], b"#1")):
            stream.seek(NAMES_AT + number * NAME_BYTES)
            stream.write(name[: NAME_BYTES - 1])
