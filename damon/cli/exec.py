# SPDX-License-Identifier: GPL-2.0-only
"""``damon exec``: a command that sees the service's tree where the kernel has its own."""

from __future__ import annotations

import argparse
import ctypes
import errno
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from damon.damond.instance import default_mount, runtime_folder, trace_socket_path
from damon.errors import DamonError, InvalidInput, MissingCapability
from damon.trace.client import SOCKET_VARIABLE
from damon.trace.install import install_perf

DESCRIPTION = """\
Runs a command in a mount namespace of its own, in which the tree of a running damond lies over /sys/kernel/mm/damon and
/sys/module/damon_*, whether or not the kernel has DAMON. Nothing changes for anybody else. The exit code is the
command's own. Needs root.
"""
EPILOG = """\
HOME is a folder of the service's own, because damo remembers there what it found out about the kernel; --keep-home
leaves it as it is. A perf that knows the emulation's trace events comes first in PATH.

examples:
  damon exec -- damo start --ops paddr
  damon exec -- sh -c 'echo Y > /sys/module/damon_reclaim/parameters/enabled'
"""
CLONE_NEWNS: Final = 0x20000
MS_BIND: Final = 4096
MS_REC: Final = 16384
MS_PRIVATE: Final = 1 << 18
MNT_DETACH: Final = 2
_LIBC: Final = ctypes.CDLL(None, use_errno=True)


def add(commands: Any) -> None:
    command = commands.add_parser(
        "exec",
        help="run a command that sees the emulation as the kernel's DAMON",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        usage="damon exec [--mount DIR] [--keep-home] -- COMMAND [ARGUMENT ...]",
    )
    command.add_argument(
        "--mount", type=Path, metavar="DIR", help="the damond to use (default: $DAMOND_MOUNT, or root's)"
    )
    command.add_argument("--keep-home", action="store_true", help="leave HOME as it is")
    command.add_argument("words", nargs="+", metavar="COMMAND", help="after --: program and arguments")
    command.set_defaults(function=run)


def _mount(source: Path | str, target: Path | str, kind: str = "none", flags: int = 0, data: str = "") -> None:
    words = [os.fsencode(word) for word in (source, target, kind)]
    if _LIBC.mount(*words, ctypes.c_ulong(flags), data.encode() or None):
        number = ctypes.get_errno()
        raise DamonError(number, f"mounting {source} on {target} failed: {os.strerror(number)}")


def lay_over(folder: Path, additions: dict[str, Path]) -> None:
    """``additions`` (name: folder) are in ``folder`` from now on, beside what is there, in this mount namespace.

    A name that is there is mounted over. sysfs takes no new names: then all of ``folder`` becomes one of our own, with
    each old entry in it as it is.
    """
    missing = [name for name in additions if not (folder / name).is_dir()]
    if missing:
        with tempfile.TemporaryDirectory(prefix="damon-exec-") as staging:
            _mount(folder, staging, flags=MS_BIND | MS_REC)
            try:
                _mount("damon", folder, "tmpfs", data="mode=755")
                _copy_entries(Path(staging), folder)
                for name in missing:
                    (folder / name).mkdir()
            finally:
                _LIBC.umount2(os.fsencode(staging), MNT_DETACH)
    for name, source in additions.items():
        _mount(source, folder / name, flags=MS_BIND | MS_REC)


def _copy_entries(old: Path, new: Path) -> None:
    for entry in sorted(old.iterdir()):
        target = new / entry.name
        if entry.is_symlink():
            target.symlink_to(os.readlink(entry))
        elif entry.is_dir():
            target.mkdir()
            _mount(entry, target, flags=MS_BIND | MS_REC)
        else:
            target.touch()
            _mount(entry, target, flags=MS_BIND)


def _environment(mount: Path, keep_home: bool) -> dict[str, str]:
    environment = dict(os.environ, DAMOND_MOUNT=str(mount))
    programs = runtime_folder() / "bin"
    programs.mkdir(mode=0o700, exist_ok=True)
    install_perf(programs)
    environment["PATH"] = f"{programs}:{environment.get('PATH', os.defpath)}"
    environment[SOCKET_VARIABLE] = str(trace_socket_path(mount))
    if not keep_home:
        home = runtime_folder() / "home"
        home.mkdir(mode=0o700, exist_ok=True)
        environment["HOME"] = str(home)
    return environment


def _module_folders(mount: Path) -> Iterable[Path]:
    return sorted((mount / "module").iterdir())


def run(arguments: argparse.Namespace) -> int:
    """Does not come back when the command could be started."""
    if os.geteuid():
        raise MissingCapability("damon exec mounts over /sys, which only root can: run it as root (sudo)")
    mount = (arguments.mount or default_mount()).absolute()
    tree = mount / "kernel/mm/damon"
    if not tree.is_dir():
        raise DamonError(errno.ENOENT, f"no damond is mounted at {mount}: start one with damond, or give its --mount")
    environment = _environment(mount, arguments.keep_home)
    if _LIBC.unshare(CLONE_NEWNS):
        number = ctypes.get_errno()
        raise MissingCapability(f"a mount namespace can't be made ({os.strerror(number)}): CAP_SYS_ADMIN is missing")
    _mount("none", "/", flags=MS_REC | MS_PRIVATE)
    lay_over(Path("/sys/kernel/mm"), {"damon": tree})
    lay_over(Path("/sys/module"), {folder.name: folder for folder in _module_folders(mount)})
    try:
        os.execvpe(arguments.words[0], arguments.words, environment)
    except OSError as error:
        raise InvalidInput(f"{arguments.words[0]} can't be run: {error.strerror}", error.errno or 0) from None
