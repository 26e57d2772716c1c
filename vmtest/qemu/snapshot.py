# SPDX-License-Identifier: GPL-2.0-only
"""Snapshots of booted guests: taken once a machine, kernel and root, kept by content; others go on from there.

A guest of which one is made runs with its memory in a file and stops after its boot, at the place in
``images/rootfs/setup`` where its own seed disk would be read. The state of its devices is saved as for a migration,
without the memory. A guest that goes on maps the same file copy on write: nothing is read that it does not use, and
any number of guests share what none of them writes. Each then reads a seed disk of its own: keys, time, trees.
"""

from __future__ import annotations

import os
import shlex
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from .. import cache
from ..config import GuestConfig
from ..directories import Share
from ..errors import BuildFailed, InvalidInput
from ..host import clock as hostclock
from ..images.hostpkgs import program
from ..patience import patient
from ..progress import Progress
from . import command_line
from .machine_type import MachineType
from .monitor import Monitor, MonitorError

# Raise it when what a guest does before it holds changes.
RECIPE = "1"
KIND = "snapshot"
#: What a guest prints when it waits; ``images/rootfs/setup``.
HOLDING = "vmtest: holding"
#: The disk with a guest's own files; all that share a snapshot have it as large as that (most of it a hole).
SEED_BYTES = 16 << 30
SEED_BLOCK = 64 << 10
# Those that were used last; each takes the memory that its guest had used when it was made, 100 MiB and more.
KEPT = 24
#: Others stay for so long after their use.
SURE_S = 600.0
SAVE_SECONDS = 120.0


@dataclass(frozen=True)
class Snapshot:
    """A directory with the memory, the devices' state, the public host key and the console so far."""

    directory: Path

    @property
    def files(self) -> command_line.SnapshotFiles:
        """What QEMU goes on from."""
        return command_line.SnapshotFiles(self.directory / "memory", self.directory / "state")

    @property
    def host_key(self) -> bytes:
        """The key that guests of it show. It was made for it, and left this host in no other way."""
        return bytes.fromhex((self.directory / "host_key").read_text())

    @property
    def console(self) -> bytes:
        """What the console had shown."""
        return (self.directory / "console.log").read_bytes()


def key_of(config: GuestConfig, kernel: Path, rootfs: Path, accelerator: str, machine_type: MachineType) -> str:
    """Cache key: all that a guest cannot change any more once it has booted."""
    shares = tuple(Share(Path("/"), share.guest) for share in config.share_list)
    swap = config.swap_device
    on_disk = swap.size if swap and swap.kind == "disk" else 0
    files = command_line.SnapshotFiles(Path("memory"), None)
    seed, swap_disk = Path("seed.tar"), Path("swap.img") if on_disk else None
    khz = hostclock.tsc_khz(config.arch, accelerator, config.icount)
    parts = command_line.Parts(kernel, rootfs, seed, swap_disk, 0, 0, accelerator, machine_type, files, khz)
    words = command_line.build(replace(config, shares=shares), parts)
    identities = [_identity(path) for path in (Path(program(config.arch.qemu)), kernel, rootfs)]
    processor = Path("/proc/cpuinfo").read_text().partition("\n\n")[0] if accelerator == "kvm" else ""
    # Its frequency goes up and down.
    processor = "".join(line for line in processor.splitlines() if not line.startswith("cpu MHz"))
    return cache.content_key({"recipe": RECIPE, "machine": "\n".join([*words, *identities, str(on_disk), processor])})


def _identity(path: Path) -> str:
    stat = path.resolve().stat()
    return f"{path} {stat.st_size} {stat.st_mtime_ns}"


#: Boots a guest and saves it: its configuration, the directory for all of it, progress.
Take = Callable[[GuestConfig, Path, Progress], None]


def obtain(
    config: GuestConfig, kernel: Path, rootfs: Path, accelerator: str, machine_type: MachineType, take: Take
) -> Snapshot:
    """The snapshot for such a guest; ``take`` makes it when there is none.

    Raises:
        GuestLost: the guest did not come up.
        BuildFailed: QEMU could not save it.
    """
    key = key_of(config, kernel, rootfs, accelerator, machine_type)

    def make(scratch: Path, progress: Progress) -> None:
        own = replace(
            config, kernel=kernel, rootfs=rootfs, accelerator=accelerator, machine=machine_type.name, trees=()
        )
        take(own, scratch, progress)

    label = f"snapshot of a guest of {kernel.parent.name if kernel.name == 'bzImage' else kernel.name}"
    directory = cache.obtain(KIND, key, label, make, {"kernel": str(kernel), "memory": str(config.memory)})
    cache.prune(KIND, time.time(), kept=KEPT, unused_s=SURE_S)  # a guest that runs keeps the files that it has mapped
    return Snapshot(directory)


def prepare_memory(directory: Path, config: GuestConfig) -> command_line.SnapshotFiles:
    """Files for the memory of a guest of which a snapshot is made, readable by their owner only.

    Raises:
        BuildFailed: the disk has no room.
    """
    files = command_line.SnapshotFiles(directory / "memory", None)
    free = shutil.disk_usage(directory).free
    if free < config.memory_bytes:
        raise BuildFailed(
            f"snapshot: {directory.parent} has {free >> 20} MiB free, the guest's memory may need "
            f"{config.memory_bytes >> 20}; make room, or leave --snapshot out"
        )
    for node in range(config.numa):
        Path(f"{files.memory}{node}").touch(mode=0o600)
    return files


def enlarge_seed(path: Path) -> int:
    """Gives a seed disk the size that all guests of a snapshot see; returns the blocks that have something.

    Raises:
        InvalidInput: it is larger.
    """
    blocks = -(-path.stat().st_size // SEED_BLOCK)
    if path.stat().st_size > SEED_BYTES:
        raise InvalidInput(f"trees: over {SEED_BYTES >> 30} GiB: do not fit a guest from a snapshot; share them")
    os.truncate(path, SEED_BYTES)
    return blocks


def save(monitor: Monitor, path: Path) -> None:
    """Stops a guest for good and saves its devices' state.

    Raises:
        MonitorError: QEMU could not: something of the guest cannot be moved, or the disk is full.
    """
    monitor.command("stop")
    _without_memory(monitor)
    path.touch(mode=0o600)
    monitor.command("migrate", uri=f"exec:exec cat >{shlex.quote(str(path))}")
    deadline = time.monotonic() + patient(SAVE_SECONDS)
    while time.monotonic() < deadline:
        found = monitor.command("query-migrate")
        if found.get("status") == "completed":
            return
        if found.get("status") == "failed":
            raise MonitorError(f"migrate: {found.get('error-desc', 'failed; is the disk full?')}")
        time.sleep(0.02)
    raise MonitorError(f"migrate: not done within {patient(SAVE_SECONDS):g} s")


def _without_memory(monitor: Monitor) -> None:
    """What lies in a file already is not a part of the state."""
    capability = {"capability": "x-ignore-shared", "state": True}
    monitor.command("migrate-set-capabilities", capabilities=[capability])


def go_on(monitor: Monitor, state: Path) -> None:
    """Gives a guest its state, and lets it run.

    Raises:
        MonitorError: QEMU could not take it, and is gone.
    """
    _without_memory(monitor)
    monitor.command("migrate-incoming", uri=f"exec:exec cat {shlex.quote(str(state))}")
    while monitor.command("query-status")["status"] == "inmigrate":
        time.sleep(0.005)
    monitor.command("cont")
