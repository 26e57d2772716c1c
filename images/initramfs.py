# SPDX-License-Identifier: GPL-2.0-only
"""A small initramfs: the modules that a guest needs before and after it has a root, and a script that loads them."""

from __future__ import annotations

import lzma
import re
import stat
from collections.abc import Sequence
from pathlib import Path

from ..errors import BuildFailed

#: Without these there is no root and no way in. Then what guests use when a kernel has it.
NEEDED = ("virtio_pci", "virtio_blk", "virtio_net", "squashfs", "overlay")
USED = (
    "af_packet",
    "unix",
    "zram",
    "fuse",
    "virtiofs",
    "9p",
    "9pnet_virtio",
    "virtio_rng",
    "virtio_balloon",
    "virtio_mem",
    # QEMU reads a dump by it.
    "qemu_fw_cfg",
)
WANTED = NEEDED + USED
_DEPENDS = re.compile(rb"\0?depends=([\w,-]*)\0")
INIT = """#!/busybox sh
/busybox mount -t devtmpfs dev /dev
for module in /modules/*; do
    /busybox insmod $module || echo "<4>vmtest: setup: no $module" >/dev/kmsg
done
tries=0
until [ -b /dev/vda ] || [ $tries = 100 ]; do
    /busybox usleep 50000
    tries=$((tries + 1))
done
/busybox mount -t squashfs -o ro /dev/vda /root || echo "<2>vmtest: setup failed: no root on /dev/vda" >/dev/kmsg
/busybox mount -o move /dev /root/dev
exec /busybox switch_root /root /usr/lib/vmtest/init
"""


def _name(path: Path) -> str:
    return path.name.partition(".ko")[0].replace("-", "_")


def _content(path: Path) -> bytes:
    data = path.read_bytes()
    if path.suffix == ".xz":
        return lzma.decompress(data)
    if path.suffix != ".ko":
        raise BuildFailed(f"module: {path.name}: its compression is unknown here; give .ko or .ko.xz")
    return data


def choose(directory: Path) -> list[tuple[str, bytes]]:
    """The modules to load, in order, each after those that it depends on.

    Args:
        directory: ``/lib/modules/RELEASE`` of a kernel.

    Raises:
        BuildFailed: one that guests need is neither there nor built in.
    """
    files = {_name(path): path for path in directory.rglob("*.ko*") if path.is_file() and not path.is_symlink()}
    listed = directory / "modules.builtin"
    builtin = {_name(Path(line)) for line in listed.read_text().split()} if listed.is_file() else set()
    chosen: dict[str, bytes] = {}

    def take(name: str) -> None:
        if name in chosen or name not in files:
            return
        data = _content(files[name])
        found = _DEPENDS.search(data)
        for other in (found[1].decode() if found else "").split(","):
            if other:
                take(other.replace("-", "_"))
        chosen[name] = data

    for name in WANTED:
        if name in NEEDED and name not in files and name not in builtin:
            raise BuildFailed(
                f"kernel: {directory.name}: has no {name}, which guests need; build it in, or as a module"
            )
        take(name)
    return list(chosen.items())


def archive(busybox: bytes, modules: Sequence[tuple[str, bytes]]) -> bytes:
    """The initramfs as a cpio archive ("newc"), uncompressed."""
    entries: list[tuple[str, int, bytes]] = [(name, stat.S_IFDIR | 0o755, b"") for name in ("dev", "modules", "root")]
    entries += [("busybox", stat.S_IFREG | 0o755, busybox), ("init", stat.S_IFREG | 0o755, INIT.encode())]
    entries += [
        (f"modules/{number:02}-{name}.ko", stat.S_IFREG | 0o644, data) for number, (name, data) in enumerate(modules)
    ]
    out = bytearray()
    for number, (name, mode, data) in enumerate([*entries, ("TRAILER!!!", 0, b"")], 1):
        fields = (number, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0)
        out += b"070701" + b"".join(b"%08x" % field for field in fields) + name.encode() + b"\0"
        out += b"\0" * (-len(out) % 4) + data
        out += b"\0" * (-len(out) % 4)
    return bytes(out)
