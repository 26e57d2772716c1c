# SPDX-License-Identifier: GPL-2.0-only
"""What is missing on this machine for building and booting guests, with the remedy, and which accelerator works."""

from __future__ import annotations

import shutil
from dataclasses import dataclass

import psutil

from . import cache
from .apt import installed_version
from .config import GuestConfig
from .errors import HarnessError, MachineLacks
from .images import kernel_build, rootfs_build, variants
from .images.hostpkgs import GROUPS, PROGRAMS, packages, program

# Console and SSH too, so that a module that a guest would miss is missed here.
from .qemu import accel
from .qemu.command_line import OVERHEAD_BYTES
from .sizes import MIB
from .ssh import connection  # noqa: F401

# Kernel source, objects and image while they are built.
DISK_BYTES = 4 << 30


@dataclass(frozen=True)
class Finding:
    """The result of one check. ``optional``: it is made when first needed, so its absence is not a fault."""

    what: str
    good: bool
    found: str
    remedy: str = ""
    optional: bool = False


def examine() -> list[Finding]:
    """Makes all checks; starts at most one short probe guest."""
    findings = [*_packages(), _room(), _memory()]
    kernel = _kernel(findings)
    findings.append(_image())
    findings.append(_accelerator(kernel))
    return findings


def _packages() -> list[Finding]:
    if installed_version("dpkg") is None:
        # Not a Debian: programs are all that can be looked for.
        return [_program(name) for name in PROGRAMS]
    return [_group("system packages"), *(_group(f"for {name} guests", name) for name in GROUPS)]


def _group(what: str, group: str = "") -> Finding:
    missing = [name for name in packages(group) if installed_version(name) is None]
    found = "all installed" if not missing else f"missing: {' '.join(missing)}"
    remedy = f"apt-get install {' '.join(missing)}" if missing else ""
    return Finding(what, not missing, found, remedy, optional=bool(group))


def _program(name: str) -> Finding:
    optional = any(PROGRAMS[name] in packages(group) for group in GROUPS)
    try:
        return Finding(f"program {name}", True, program(name))
    except MachineLacks as error:
        return Finding(f"program {name}", False, "missing", str(error), optional=optional)


def _room() -> Finding:
    root = cache.cache_root()
    free = shutil.disk_usage(root).free
    return Finding(
        "cache directory",
        free >= DISK_BYTES,
        f"{root}, {free // MIB} MiB free",
        f"free {DISK_BYTES // MIB} MiB there, or set XDG_CACHE_HOME",
    )


def _memory() -> Finding:
    available = psutil.virtual_memory().available
    needed = GuestConfig().memory_bytes + OVERHEAD_BYTES
    found = f"{available // MIB} MiB available, room for {available // needed} guests of {GuestConfig().memory}"
    return Finding("memory", available >= needed, found, "end other programs, or give guests less with --memory")


def _kernel(findings: list[Finding]) -> kernel_build.KernelBuild | None:
    try:
        built = variants.variant(variants.DEFAULT).find()
    except HarnessError as error:
        findings.append(Finding("guest kernel", False, "cannot be built", str(error)))
        return None
    found = str(built.image) if built else "not built yet"
    findings.append(
        Finding("guest kernel", built is not None, found, "vmtest build kernel (about five minutes)", optional=True)
    )
    return built


def _image() -> Finding:
    built = rootfs_build.find()
    return Finding(
        "guest image",
        built is not None,
        str(built.image) if built else "not built yet",
        "vmtest build image (about a minute)",
        optional=True,
    )


def _accelerator(kernel: kernel_build.KernelBuild | None) -> Finding:
    if kernel is None:
        return Finding("accelerator", False, "not known without a guest kernel", "vmtest build kernel", optional=True)
    try:
        found = accel.detect(kernel.image)
    except HarnessError as error:
        return Finding("accelerator", False, "not known", str(error))
    return Finding("accelerator", True, f"{found.name} ({found.reason})")
