# SPDX-License-Identifier: GPL-2.0-only
"""Which accelerator really works here: /dev/kvm may open and be unable to run a guest, so one is started to see."""

from __future__ import annotations

import os
import platform
import subprocess
from dataclasses import dataclass
from pathlib import Path

from ..errors import MachineLacks
from ..host import capabilities
from ..images.arch import Architecture, of_image
from ..images.hostpkgs import program
from .command_line import accelerator_arguments

KVM = Path("/dev/kvm")
FILE = "accelerator.json"
# A guest without a root: where it ends is proof that a kernel ran from its first to its last line.
REACHED = rb"Kernel panic - not syncing: VFS: Unable to mount root"
BROKEN = rb"emulation failure|KVM internal error"
FIRST = rb"Linux version \d"
FIRST_LINE_SECONDS = 8.0
PROBE_SECONDS = 20.0


@dataclass(frozen=True)
class Accelerator:
    """``name`` is "kvm" or "tcg"; ``reason`` is for people."""

    name: str
    reason: str


def choose(wanted: str, kernel: Path) -> Accelerator:
    """The accelerator for "auto", "kvm" or "tcg".

    Raises:
        MachineLacks: "kvm" is asked for and does not work.
    """
    if wanted == "tcg":
        return Accelerator("tcg", "asked for")
    found = detect(kernel)
    if wanted == "kvm" and found.name != "kvm":
        raise MachineLacks(f"accelerator 'kvm' does not work here: {found.reason}; use --accelerator tcg")
    return found


def detect(kernel: Path) -> Accelerator:
    """What works, from the cache or by a probe that takes seconds, once a host boot and QEMU version."""
    arch = of_image(kernel)
    if not arch.native:
        return Accelerator("tcg", f"guests of {arch.name} are emulated on {platform.machine()}")
    if not os.access(KVM, os.R_OK | os.W_OK):
        return Accelerator("tcg", f"{KVM} {'may not be opened by this user' if KVM.exists() else 'does not exist'}")
    key = _key(arch)
    known = capabilities.recall(FILE, key)
    if known is None or "name" not in known:
        found = probe(kernel)
        capabilities.keep(FILE, key, name=found.name, reason=found.reason)
        return found
    return Accelerator(str(known["name"]), str(known.get("reason")))


def _key(arch: Architecture) -> str:
    return f"{capabilities.boot_id()} {qemu_version(arch)} {KVM.stat().st_rdev} {os.getuid()}"


def qemu_version(arch: Architecture) -> str:
    """The version line of an architecture's QEMU.

    Raises:
        MachineLacks: QEMU is not installed.
    """
    done = subprocess.run([program(arch.qemu), "--version"], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()[0]


def _last(output: object) -> str:
    return output[-200:].decode(errors="replace").strip() if isinstance(output, bytes) else ""


def probe(kernel: Path, accelerator: str = "kvm", timeout: float = PROBE_SECONDS) -> Accelerator:
    """Starts a guest without a root file system, to find out whether the accelerator works."""
    import pexpect

    arch = of_image(kernel)
    words = ["--pdeathsig", "KILL", "--", program(arch.qemu)]
    words += ["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-m", "128M", "-serial", "stdio"]
    words += ["-machine", arch.machine_type, *accelerator_arguments(arch, accelerator)]
    words += ["-kernel", str(kernel), "-append", f"console={arch.console} panic=-1 mitigations=off"]
    child = pexpect.spawn(program("setpriv"), words, timeout=timeout, echo=False)
    try:
        # The kernel's first line comes within a second where it comes at all.
        found = child.expect([FIRST, BROKEN, pexpect.EOF, pexpect.TIMEOUT], timeout=FIRST_LINE_SECONDS)
        if found == 0:
            found = child.expect([REACHED, BROKEN, pexpect.EOF, pexpect.TIMEOUT])
        if found == 0:
            return Accelerator(accelerator, "a probe guest ran")
        what = (
            "QEMU reports an emulation failure",
            f"QEMU ended: {_last(child.before)!r}",
            f"a probe guest wrote nothing for {FIRST_LINE_SECONDS:g} s or was not up within {timeout:g} s",
        )[found - 1]
        return Accelerator("tcg", f"{KVM} opens, but cannot run a guest ({what})")
    finally:
        child.close(force=True)
