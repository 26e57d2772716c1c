# SPDX-License-Identifier: GPL-2.0-only
"""The architectures of guests, and all that differs between them: one table. A guest's follows from its kernel."""

from __future__ import annotations

import gzip
import platform
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

from ..errors import InvalidInput

# Documentation/arch/arm64/booting.rst: the header of an Image.
_ARM64_MAGIC = b"ARM\x64"
_ARM64_MAGIC_AT = 56
_ELF_MACHINE_AT = 18
_HEADER_BYTES = 64


@dataclass(frozen=True)
class Architecture:
    """One of them.

    Args:
        name: in ``kernels.yaml``, and of the directory with its own kernel fragments.
        machine: what ``uname -m`` prints, and wheels are called.
        debian: Debian's name.
        elf: ``e_machine`` of its programs.
        qemu: the program that is its machine.
        machine_type: QEMU's machine.
        cpu: QEMU's processor under software emulation.
        console: the serial line that is the console. SysRq comes as a break on it, on either machine type.
        kbuild: ``ARCH=`` of a kernel build.
        cross: what the names of its compiler's programs begin with on a machine of another architecture.
        image: of a kernel build, what QEMU loads.
        words: of the kernel's command line.
    """

    name: str
    machine: str
    debian: str
    elf: int
    qemu: str
    machine_type: str
    cpu: str
    console: str
    kbuild: str
    cross: str
    image: str
    words: str = ""

    @property
    def native(self) -> bool:
        """Whether it is this machine's own."""
        return platform.machine() == self.machine

    @property
    def prefix(self) -> str:
        """What the names of compilers and binutils for it begin with here."""
        return "" if self.native else self.cross

    @property
    def make_words(self) -> list[str]:
        """Arguments for a kernel's Makefile; empty where it needs none."""
        return [] if self.native else [f"ARCH={self.kbuild}", f"CROSS_COMPILE={self.cross}"]

    @property
    def image_name(self) -> str:
        """File name of a kernel image."""
        return Path(self.image).name


X86_64 = Architecture(
    name="x86_64",
    machine="x86_64",
    debian="amd64",
    elf=62,
    qemu="qemu-system-x86_64",
    machine_type="q35",
    # Where the processor reports that "rep stosb" is fast, memset and the kernel fill memory with it, and the emulation
    # goes byte by byte: 10 MiB took 40 ms instead of 1.4, and a page fault more than twice as long.
    cpu="max,-erms",
    console="ttyS0",
    kbuild="x86_64",
    cross="x86_64-linux-gnu-",
    image="arch/x86/boot/bzImage",
    # A kernel that is emulated on a busy host may miss the few ticks that it waits for, and panic.
    words="no_timer_check",
)
ARM64 = Architecture(
    name="arm64",
    machine="aarch64",
    debian="arm64",
    elf=183,
    qemu="qemu-system-aarch64",
    machine_type="virt,gic-version=3",
    # "max" sets the accessed flag in hardware (FEAT_HAFDBS). For kernels that sign pointers: the architecture's own
    # algorithm would cost an emulation as much as all the rest.
    cpu="max,pauth-impdef=on",
    console="ttyAMA0",
    kbuild="arm64",
    cross="aarch64-linux-gnu-",
    image="arch/arm64/boot/Image",
)
ARCHITECTURES = {one.name: one for one in (X86_64, ARM64)}


def named(name: str) -> Architecture:
    """The architecture called ``name``.

    Raises:
        InvalidInput: there is none.
    """
    try:
        return ARCHITECTURES[name]
    except KeyError:
        raise InvalidInput(f"architecture: {name!r}: is unknown; give one of {', '.join(ARCHITECTURES)}") from None


def of_debian(name: str) -> Architecture:
    """The one that Debian calls ``name``.

    Raises:
        InvalidInput: there is none.
    """
    found = next((one for one in ARCHITECTURES.values() if one.debian == name), None)
    if found is None:
        raise InvalidInput(f"architecture: {name!r}: has no guests; give one of {', '.join(ARCHITECTURES)}")
    return found


def of_image(path: Path) -> Architecture:
    """Of a kernel image: arm64 by the header of its Image (compressed with gzip as well), and else x86-64."""
    with path.open("rb") as stream:
        header = stream.read(_HEADER_BYTES)
    if header.startswith(b"\x1f\x8b"):
        try:
            with gzip.open(path) as plain:
                header = plain.read(_HEADER_BYTES)
        except (OSError, EOFError, zlib.error):
            pass  # QEMU reports what it is
    return _of_header(header) or X86_64


def of_program(data: bytes) -> Architecture | None:
    """Of an ELF file, by its first bytes; None for anything else, and for others' programs."""
    if not data.startswith(b"\x7fELF") or len(data) < _ELF_MACHINE_AT + 2:
        return None
    (machine,) = struct.unpack_from("<H", data, _ELF_MACHINE_AT)
    return next((one for one in ARCHITECTURES.values() if one.elf == machine), None)


def _of_header(header: bytes) -> Architecture | None:
    if header[_ARM64_MAGIC_AT : _ARM64_MAGIC_AT + len(_ARM64_MAGIC)] == _ARM64_MAGIC:
        return ARM64
    return of_program(header)
