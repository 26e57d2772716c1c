# SPDX-License-Identifier: GPL-2.0-only
"""The two machines a guest may get: ``q35``, which has everything, and ``light``, which is up sooner.

``light`` is a q35 without the devices that no guest of ours uses, started by firmware that does nothing but load the
kernel. It is not a microvm: that one has neither HPET nor PM timer, and a kernel that has no clock of KVM's then finds
nothing to measure its own with and stands still.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..config import GuestConfig
from ..images.arch import X86_64


@dataclass(frozen=True)
class MachineType:
    """How a kind of machine is asked for: a type with its properties, and QEMU's arguments beside it."""

    name: str
    machine: str
    words: tuple[str, ...] = ()


Q35 = MachineType("q35", X86_64.machine_type)
FIRMWARE = "qboot.rom"
LIGHT = MachineType("light", f"{X86_64.machine_type},sata=off,smbus=off,usb=off,vmport=off", ("-bios", FIRMWARE))
MACHINE_TYPES = {machine_type.name: machine_type for machine_type in (Q35, LIGHT)}
# Where a distribution's QEMU, or one that was built by hand, has its firmware.
DIRECTORIES = (Path("/usr/share/qemu"), Path("/usr/local/share/qemu"))


def choose(config: GuestConfig) -> MachineType:
    """The one that is asked for, else ``light`` where it will do. Other architectures have one."""
    if config.arch is not X86_64:
        return MachineType(config.arch.machine_type.partition(",")[0], config.arch.machine_type)
    if config.machine != "auto":
        return MACHINE_TYPES[config.machine]
    return Q35 if config.needs_q35 or not any((directory / FIRMWARE).is_file() for directory in DIRECTORIES) else LIGHT
