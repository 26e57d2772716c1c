# SPDX-License-Identifier: GPL-2.0-only
"""``damon doctor``: what this machine can do, what is missing, and the remedy. It reads, and changes nothing."""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import os
import platform
import shutil
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from damon.cli import output
from damon.errors import InvalidInput, MissingCapability

if TYPE_CHECKING:
    from damon.mm.linux.capabilities import Capabilities

DESCRIPTION = """\
Lists what this machine can do, what is missing for the rest, and the remedy for it. Reads only, and changes nothing.
"""
EPILOG = """\
exit codes:
  0    the simulated machine works, and everything that --require names is there
  2    --require names something that is not known
  3    something of that is missing

examples:
  damon doctor
  damon doctor --require serve,guests --json
"""
#: What the extra vmtest brings, by the names that are imported.
VMTEST: Final = ("junitparser", "paramiko", "pexpect", "psutil", "qemu")
QEMU: Final = {"x86_64": "qemu-system-x86_64", "aarch64": "qemu-system-aarch64"}


@dataclass(frozen=True)
class Check:
    """One line of the list. ``remedy`` is empty when nothing is missing."""

    name: str
    what: str  #: what it is for
    ok: bool
    state: str
    remedy: str = ""


def _module_there(name: str) -> bool:
    return importlib.util.find_spec(name) is not None


def _examine(proc: Path, sys: Path) -> Capabilities:
    from damon.mm.linux.capabilities import Capabilities

    return Capabilities(proc, sys)


@dataclass(frozen=True)
class Host:
    """Where to look. The defaults are this machine."""

    proc: Path = Path("/proc")
    sys: Path = Path("/sys")
    dev: Path = Path("/dev")
    uid: int = field(default_factory=os.geteuid)
    machine: str = field(default_factory=platform.machine)
    which: Callable[[str], str | None] = shutil.which
    module_there: Callable[[str], bool] = _module_there  # vmtest is looked for, never imported
    load: Callable[[str], object] = importlib.import_module
    capabilities: Callable[[Path, Path], Capabilities] = _examine


def _simulate(host: Host) -> str:
    try:
        host.load("damon.mm.sim")
    except (ImportError, AttributeError) as error:  # AttributeError: a C helper of another version
        raise MissingCapability(f"C helper: does not fit: {error}; install pydamon again (pip install .)") from None
    return "the C helper is loaded"


def _serve(host: Host) -> str:
    device = host.dev / "fuse"
    if not os.access(device, os.R_OK | os.W_OK):
        raise MissingCapability(
            f"device: {device}: cannot be opened; load the module fuse (modprobe fuse), or give access to it"
        )
    program = host.which("fusermount3") or host.which("fusermount")
    if host.uid and program is None:
        raise MissingCapability(
            "fusermount3: is missing: without it only root mounts; install it (Debian: apt-get install fuse3)"
        )
    return f"{device}" + (f", {program}" if host.uid else ", mount(2)")


def _capabilities(host: Host) -> int:
    from damon.mm.linux import parse

    try:
        return parse.effective_capabilities((host.proc / "self/status").read_text())
    except OSError:
        return 0


def _exec(host: Host) -> str:
    from damon.mm.linux import parse

    if host.uid or not _capabilities(host) >> parse.CAP_SYS_ADMIN & 1:
        raise MissingCapability(
            "capability: CAP_SYS_ADMIN: damon exec needs it to mount over /sys; run it as root (sudo)"
        )
    return "may mount"


def guests_needs(host: Host) -> str:
    absent = [name for name in ("vmtest", *VMTEST) if not host.module_there(name)]
    if absent:
        raise MissingCapability(f"packages: {', '.join(absent)}: are not installed; pip install 'pydamon[vmtest]'")
    name = QEMU.get(host.machine, f"qemu-system-{host.machine}")
    program = host.which(name)
    if program is None:
        raise MissingCapability(f"program: {name}: is not installed; install it (Debian: apt-get install qemu-system)")
    kvm = host.dev / "kvm"
    opens = os.access(kvm, os.R_OK | os.W_OK)  # whether it works, vmtest finds out when it boots a guest
    return f"{program}; " + (f"{kvm} can be opened" if opens else f"emulated, as {kvm} can't be opened")


def _kernel_damon(host: Host) -> str:
    from damon.mm.linux import interference

    tree, modules = host.sys / "kernel/mm/damon/admin", sorted(host.sys.glob("module/damon_*/parameters"))
    if not tree.is_dir() and not modules:
        raise MissingCapability("kernel: has no DAMON, or hides it; boot one with CONFIG_DAMON_SYSFS")
    there = [*(["sysfs"] if tree.is_dir() else []), *(path.parent.name for path in modules)]
    active = interference.kernel_damon(host.sys)
    return ", ".join(there) + (f"; active: {'; '.join(active)}" if active else "; off")


def _undisturbed(host: Host) -> str:
    from damon.mm.linux import interference

    found = interference.others(host.proc, host.sys, os.getpid())
    if found:
        raise MissingCapability(
            f"accessed bits: {', '.join(found)}: also use them; stop them (docs/explanation/linux.md)"
        )
    return "no other user of the accessed bits was found"


#: Name, purpose, and the probe: what is there, or ``MissingCapability`` as "what is missing; remedy".
PROBES: Final[tuple[tuple[str, str, Callable[[Host], str]], ...]] = (
    ("simulate", "--sim", _simulate),
    ("serve", "damond", _serve),
    ("exec", "damon exec", _exec),
    ("guests", "vmtest", guests_needs),
    ("kernel_damon", "comparison", _kernel_damon),
    ("undisturbed", "--linux", _undisturbed),
)
#: Names of ``Capabilities.checks()`` and what they are for.
LINUX: Final = {
    "page_idle": "--linux", "rwp": "--linux --access rwp", "pagemap": "--linux", "system_ram": "--linux, paddr",
    "process_madvise": "pageout, cold, willneed, lru_deprio, collapse", "process_vm_readv": "lru_prio",
    "move_pages": "migrate_hot, migrate_cold", "ptrace": "hugepage, nohugepage", "swap": "pageout of anonymous memory",
}  # fmt: skip


def _check(name: str, what: str, probe: Callable[[], str | None]) -> Check:
    try:
        return Check(name, what, True, probe() or "there")
    except (MissingCapability, OSError) as error:
        state, _, remedy = str(error).partition("; ")
        return Check(name, what, False, state, remedy)


def examine(host: Host) -> list[Check]:
    """All checks, on ``host``."""
    linux = host.capabilities(host.proc, host.sys).checks()
    checks = [_check(name, what, partial(probe, host)) for name, what, probe in PROBES]
    return checks + [_check(name, LINUX[name], probe) for name, probe in linux.items()]


def add(commands: Any) -> None:
    command = commands.add_parser(
        "doctor",
        help="what this machine can do, what is missing, and the remedy",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("--json", action="store_true", help="one object, for machines")
    command.add_argument("--require", default="", metavar="NAME[,NAME]", help="fail when one of these is missing")
    command.set_defaults(function=run)


def run(arguments: argparse.Namespace, host: Host | None = None) -> int:
    """The exit code."""
    checks = {check.name: check for check in examine(host or Host())}
    wanted = ["simulate", *filter(None, arguments.require.split(","))]
    for name in wanted:
        if name not in checks:
            raise InvalidInput(f"--require: {name!r}: is not a check; give some of {', '.join(checks)}")
    missing = [name for name in dict.fromkeys(wanted) if not checks[name].ok]
    if arguments.json:
        print(json.dumps({"ok": not missing, "missing": missing, "checks": [asdict(one) for one in checks.values()]}))
    else:
        rows = [(one.name, one.what, "yes" if one.ok else "no", one.state) for one in checks.values()]
        output.table(("check", "for", "there", "state"), rows)
        for one in checks.values():
            if one.remedy:
                print(f"{one.name}: {one.remedy}")
    if missing:
        print(f"damon: doctor: missing: {', '.join(missing)}; see above for the remedies", file=sys.stderr)
    return 3 if missing else 0
