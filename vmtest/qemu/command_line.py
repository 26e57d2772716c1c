# SPDX-License-Identifier: GPL-2.0-only
"""The machine a guest runs on: QEMU's command line, and whether this host has room for it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import psutil

from .. import specs
from ..config import GuestConfig
from ..errors import MachineLacks
from ..host import root as hostroot
from ..images.arch import Architecture
from ..images.hostpkgs import program
from ..sizes import MIB, shown
from .machine_type import Q35, MachineType

# What QEMU takes beside the guest's memory: its own code, translated code, buffers.
OVERHEAD_BYTES = 192 * MIB
TRANSLATION_MIB = 256
BLOCK_BYTES = 128 * MIB
# Behind all slots that are taken by number.
PLUG_SLOT = 0x10
GUEST_INIT = "/usr/lib/vmtest/init"


@dataclass(frozen=True)
class SnapshotFiles:
    """What a guest's memory is in, and what the rest of it comes from.

    Args:
        memory: a file for each NUMA node begins with this path.
        state: the devices' state to go on from; None boots, and the memory files get what the guest writes.
    """

    memory: Path
    state: Path | None


@dataclass(frozen=True)
class Parts:
    """Files and descriptors of one run that QEMU is given, and the counter that the guest would have to measure."""

    kernel: Path
    rootfs: Path
    seed: Path
    swap_disk: Path | None
    console_fd: int
    monitor_fd: int
    accelerator: str
    machine_type: MachineType = Q35
    snapshot: SnapshotFiles | None = None
    tsc_khz: int | None = None


def check_memory(config: GuestConfig) -> None:
    """Refuses a guest that this host has no memory for.

    Raises:
        MachineLacks: it does not fit beside what is running.
    """
    available = psutil.virtual_memory().available
    needed = config.most_bytes + OVERHEAD_BYTES
    if needed > available:
        what = f"memory_max: {config.memory_max!r}" if config.spare_bytes else f"memory: {config.memory!r}"
        raise MachineLacks(
            f"{what}: does not fit: it takes {needed // MIB} MiB with QEMU's own, "
            f"{available // MIB} MiB are available; give the guest less or end other programs"
        )


def kernel_command_line(config: GuestConfig, tsc_khz: int | None = None) -> str:
    """The kernel's command line; ``config.append`` comes last and so wins."""
    words = [
        f"console={config.arch.console}",
        "root=/dev/vda ro rootfstype=squashfs",
        f"init={GUEST_INIT}",
        # A crash ends QEMU (which runs with -no-reboot) at once, and an oops is a crash: the console has the evidence.
        "panic=-1 oops=panic",
        # Emulated or virtual processors gain nothing from them and pay a lot.
        "mitigations=off",
        config.arch.words,
        f"tsc_early_khz={tsc_khz}" if tsc_khz else "",
        # Ours, read by images/rootfs/setup: wait before anything of one guest's own is there.
        "vmtest.hold" if config.snapshot else "",
        *_memory_words(config),
        hostroot.KERNEL_WORD if config.root else "",
        config.append,
    ]
    return " ".join(word for word in words if word)


def _memory_words(config: GuestConfig) -> list[str]:
    words = []
    if config.spare_bytes:
        # What comes can go again only where nothing of the kernel's own is put.
        words.append("memhp_default_state=online_movable")
    for pages in specs.huge_pages(config.hugepages):
        words.append(f"hugepagesz={shown(pages.size)} hugepages={pages.count}")
    if config.thp:
        words.append(f"transparent_hugepage={config.thp}")
    return words


def _comma(path: Path | str) -> str:
    """QEMU's option values end at a comma unless it is doubled."""
    return str(path).replace(",", ",,")


def _disk(number: int, path: Path, readonly: bool) -> list[str]:
    # Fixed slots: the guest sees vda, vdb, vdc in this order.
    drive = f"file={_comma(path)},format=raw,if=none,id=disk{number},readonly={'on' if readonly else 'off'}"
    return ["-drive", drive, "-device", f"virtio-blk-pci,drive=disk{number},addr={number + 2:#x}"]


def _processors(config: GuestConfig) -> str:
    sockets = config.layout.sockets
    return f"{config.cpus},sockets={sockets},cores={config.cpus // sockets},threads=1"


def _backend(node: int, mebibytes: int, files: SnapshotFiles | None = None) -> str:
    """A node's memory; of a guest from a snapshot, its own copy of the file as soon as it writes."""
    if files is None:
        return f"memory-backend-ram,id=memory{node},size={mebibytes}M"
    share = "on" if files.state is None else "off"
    path = f"{_comma(files.memory)}{node}"
    return f"memory-backend-file,id=memory{node},size={mebibytes}M,mem-path={path},share={share}"


def _memory(config: GuestConfig, files: SnapshotFiles | None) -> list[str]:
    size = f"{config.memory_bytes // MIB}M"
    if not config.spare_bytes:
        words = ["-m", size, *config.layout.arguments(lambda node, mebibytes: _backend(node, mebibytes, files))]
        if files and config.numa == 1:
            words += ["-object", _backend(0, config.memory_bytes // MIB, files), "-machine", "memory-backend=memory0"]
        return words
    # Any node may take all that there is to plug; Guest.plug_memory looks after the sum. A kernel uses whole blocks of
    # memory only, so that a device has to begin and end with one.
    each = -(-config.spare_bytes // BLOCK_BYTES) * BLOCK_BYTES
    most = config.memory_bytes + config.numa * each
    words = ["-m", f"{size},maxmem={most // MIB}M", *config.layout.arguments(_backend)]
    for node in range(config.numa):
        words += ["-object", f"memory-backend-ram,id=spare{node},size={each // MIB}M,reserve=off"]
        where = f"id={plug_id(node)},addr={PLUG_SLOT + node:#x}"
        words += ["-device", f"virtio-mem-pci,{where},memdev=spare{node},node={node},requested-size=0"]
    return words


def plug_id(node: int) -> str:
    """QEMU's name of the device that memory of a node is plugged with."""
    return f"plug{node}"


def _end_of_the_machine(config: GuestConfig) -> list[str]:
    # A crashed guest reboots at once, and that ends QEMU. For a dump QEMU stops there instead, its memory untouched.
    return ["-no-reboot", *(["-no-shutdown", "-device", "vmcoreinfo"] if config.dump_on_panic else [])]


def accelerator_arguments(
    arch: Architecture, accelerator: str, icount: int | None = None, skip_idle: bool = False
) -> list[str]:
    """QEMU's arguments for "kvm" or "tcg"; ``icount`` and ``skip_idle`` as in the configuration."""
    if accelerator == "kvm":
        return ["-accel", "kvm", "-cpu", "host"]
    if icount is not None:
        # An idle guest waits for the host, whose time its network and its console have, unless it may skip that.
        counted = ["-icount", f"shift={icount},sleep={'off' if skip_idle else 'on'}"]
        return ["-accel", f"tcg,thread=single,tb-size={TRANSLATION_MIB}", *counted, "-cpu", arch.cpu]
    return ["-accel", f"tcg,thread=multi,tb-size={TRANSLATION_MIB}", "-cpu", arch.cpu]


def build(config: GuestConfig, parts: Parts) -> list[str]:
    """QEMU's whole command line.

    Raises:
        MachineLacks: QEMU is not installed.
    """
    words = [program(config.arch.qemu), "-nodefaults", "-no-user-config", "-display", "none"]
    words += ["-machine", parts.machine_type.machine, *parts.machine_type.words, *_end_of_the_machine(config)]
    words += accelerator_arguments(config.arch, parts.accelerator, config.icount, config.skip_idle)
    words += ["-smp", _processors(config), *_memory(config, parts.snapshot)]
    words += ["-kernel", str(parts.kernel), "-append", kernel_command_line(config, parts.tsc_khz)]
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
    words += hostroot.qemu_arguments(config.root)
    for number, share in enumerate(config.share_list):
        path = _comma(share.host.resolve())
        words += ["-fsdev", f"local,id=share{number},path={path},security_model=none,readonly=on"]
        words += ["-device", f"virtio-9p-pci,fsdev=share{number},mount_tag=share{number}"]
    if parts.snapshot and parts.snapshot.state:
        words += ["-incoming", "defer"]  # the monitor requests parts of it later
    return [*words, *config.qemu_args]
