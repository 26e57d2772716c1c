# SPDX-License-Identifier: GPL-2.0-only
"""The machine a guest runs on: QEMU's command line, and whether this host has room for it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import psutil

from .config import MIB, GuestConfig
from .errors import MachineLacks
from .images.arch import Architecture
from .images.hostpkgs import program

# What QEMU takes beside the guest's memory: its own code, translated code, buffers.
OVERHEAD_BYTES = 192 * MIB
TRANSLATION_MIB = 256
GUEST_INIT = "/usr/lib/vmtest/init"


@dataclass(frozen=True)
class Parts:
    """Files and descriptors of one run that QEMU is given."""

    kernel: Path
    rootfs: Path
    seed: Path
    swap_disk: Path | None
    console_fd: int
    monitor_fd: int
    accelerator: str


def check_memory(config: GuestConfig) -> None:
    """Refuses a guest that this host has no memory for.

    Raises:
        MachineLacks: it does not fit beside what is running.
    """
    available = psutil.virtual_memory().available
    needed = config.memory_bytes + OVERHEAD_BYTES
    if needed > available:
        raise MachineLacks(
            f"memory {config.memory!r} does not fit: it takes {needed // MIB} MiB with QEMU's own, "
            f"{available // MIB} MiB are available; give the guest less or end other programs"
        )


def kernel_command_line(config: GuestConfig) -> str:
    """What the kernel is told; ``config.append`` comes last and so wins."""
    words = [
        f"console={config.arch.console}",
        "root=/dev/vda ro rootfstype=squashfs",
        f"init={GUEST_INIT}",
        # A crash ends QEMU (which runs with -no-reboot) at once, and an oops is a crash: the console has the evidence.
        "panic=-1 oops=panic",
        # Emulated or virtual processors gain nothing from them and pay a lot.
        "mitigations=off",
        config.append,
    ]
    return " ".join(word for word in words if word)


def _comma(path: Path | str) -> str:
    """QEMU's option values end at a comma unless it is doubled."""
    return str(path).replace(",", ",,")


def _disk(number: int, path: Path, readonly: bool) -> list[str]:
    # Fixed slots: the guest sees vda, vdb, vdc in this order.
    drive = f"file={_comma(path)},format=raw,if=none,id=disk{number},readonly={'on' if readonly else 'off'}"
    return ["-drive", drive, "-device", f"virtio-blk-pci,drive=disk{number},addr={number + 2:#x}"]


def _processors(config: GuestConfig) -> str:
    # A node is at least a socket: the kernel warns about processors of two nodes that share a cache.
    sockets = config.numa if config.cpus % config.numa == 0 else config.cpus
    return f"{config.cpus},sockets={sockets},cores={config.cpus // sockets},threads=1"


def _memory(config: GuestConfig) -> list[str]:
    total = config.memory_bytes // MIB
    arguments = ["-m", f"{total}M"]
    if config.numa == 1:
        return arguments
    for node in range(config.numa):
        size = total // config.numa + (total % config.numa if node == 0 else 0)
        processors = [cpu for cpu in range(config.cpus) if cpu * config.numa // config.cpus == node]
        arguments += ["-object", f"memory-backend-ram,id=memory{node},size={size}M"]
        arguments += ["-numa", f"node,nodeid={node},memdev=memory{node},cpus={processors[0]}-{processors[-1]}"]
    return arguments


def board_arguments(arch: Architecture, accelerator: str) -> list[str]:
    """QEMU's arguments for a machine of an architecture under "kvm" or "tcg"."""
    words = ["-machine", arch.board]
    if accelerator == "kvm":
        return [*words, "-accel", "kvm", "-cpu", "host"]
    return [*words, "-accel", f"tcg,thread=multi,tb-size={TRANSLATION_MIB}", "-cpu", arch.cpu]


def command_line(config: GuestConfig, parts: Parts) -> list[str]:
    """QEMU's whole command line.

    Raises:
        MachineLacks: QEMU is not installed.
    """
    words = [program(config.arch.qemu), "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"]
    words += board_arguments(config.arch, parts.accelerator)
    words += ["-smp", _processors(config), *_memory(config)]
    words += ["-kernel", str(parts.kernel), "-append", kernel_command_line(config)]
    # A packaged kernel has its drivers there.
    if (initrd := parts.kernel.with_name("initrd")).is_file():
        words += ["-initrd", str(initrd)]
    words += ["-chardev", f"socket,id=console,fd={parts.console_fd}", "-serial", "chardev:console"]
    words += ["-chardev", f"socket,id=monitor,fd={parts.monitor_fd}", "-mon", "chardev=monitor,mode=control"]
    words += _disk(0, parts.rootfs, readonly=True) + _disk(1, parts.seed, readonly=True)
    if parts.swap_disk:
        words += _disk(2, parts.swap_disk, readonly=False)
    # restrict: no way out of the guest but the one forward. Port 0: the host's kernel picks a free one, no race.
    words += ["-netdev", "user,id=net,restrict=on,ipv6=off,hostfwd=tcp:127.0.0.1:0-10.0.2.15:22"]
    words += ["-device", "virtio-net-pci,netdev=net,romfile=,addr=0x8"]
    for number, share in enumerate(config.share_list):
        path = _comma(share.host.resolve())
        words += ["-fsdev", f"local,id=share{number},path={path},security_model=none,readonly=on"]
        words += ["-device", f"virtio-9p-pci,fsdev=share{number},mount_tag=share{number}"]
    return [*words, *config.qemu_args]
