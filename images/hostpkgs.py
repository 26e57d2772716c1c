# SPDX-License-Identifier: GPL-2.0-only
"""What the host must have installed: the list in ``packages.txt``, and the check for one program."""

from __future__ import annotations

from pathlib import Path

from ..steps import found

LIST = Path(__file__).parent / "packages.txt"
# What only some guests need, by architecture: lists beside that one.
GROUPS = ("arm64",)

# Programs the harness runs itself, and the package that has each.
PROGRAMS = {
    "qemu-system-x86_64": "qemu-system-x86",
    "qemu-system-aarch64": "qemu-system-arm",
    "aarch64-linux-gnu-gcc": "gcc-aarch64-linux-gnu",
    "setpriv": "util-linux",
    "make": "make",
    "gcc": "gcc",
    "flex": "flex",
    "bison": "bison",
    "bc": "bc",
    "lz4": "lz4",
    "xz": "xz-utils",
    "mmdebstrap": "mmdebstrap",
    "mksquashfs": "squashfs-tools",
    "unsquashfs": "squashfs-tools",
}


def packages(group: str = "") -> dict[str, str]:
    """The needed packages: name to what it is for, in the list's order; or those that one of ``GROUPS`` needs."""
    found: dict[str, str] = {}
    for line in (LIST.with_stem(f"{LIST.stem}-{group}") if group else LIST).read_text().splitlines():
        name, _, why = line.partition("#")
        if name.strip():
            found[name.strip()] = why.strip()
    return found


def program(name: str) -> str:
    """Full path of a program.

    Raises:
        MachineLacks: it is not installed; the message names the package.
    """
    package = PROGRAMS.get(name, name)
    # Of a group all are named: one after the other would be found missing.
    package = next((" ".join(packages(group)) for group in GROUPS if package in packages(group)), package)
    return found(name, package)
