# SPDX-License-Identifier: GPL-2.0-only
"""``damon exec``: a command that sees the service's tree where the kernel has its own."""

from __future__ import annotations

import argparse
import errno
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from damon.core.events import EVENTS
from damon.damond.client import ServiceLost
from damon.damond.instance import MOUNT_REMEDY, home_directory, programs_directory
from damon.damond.namespace import enter, lay_over, lay_over_events, lay_over_files
from damon.damond.pids import PROGRAMS
from damon.damond.runtime import default_mount, open_directory, trace_socket_path
from damon.errors import DamonError, InvalidInput, MissingCapability
from damon.trace.client import SOCKET_VARIABLE
from damon.trace.install import install, install_perf

#: What files behind a mount answer when its service has ended.
LOST = (errno.ENOTCONN, errno.ECONNABORTED, errno.ESHUTDOWN)

DESCRIPTION = """\
Runs a command in a mount namespace of its own, in which the tree of a running damond lies over /sys/kernel/mm/damon and
/sys/module/damon_*, whether or not the kernel has DAMON; of a simulated machine also /proc/iomem and /proc/meminfo.
pidof, pgrep and pkill find the processes of this damond, and no other's. Nothing changes for other processes. The exit
code is the command's own. Needs root.
"""
EPILOG = """\
HOME is a directory of the service's own, because damo remembers there what it found out about the kernel; --keep-home
leaves it as it is. A perf with the emulation's trace events comes first in PATH.

examples:
  damon exec -- damo start --ops paddr
  damon exec -- sh -c 'echo Y > /sys/module/damon_reclaim/parameters/enabled'
"""


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


def _environment(mount: Path, keep_home: bool) -> dict[str, str]:
    environment = dict(os.environ, DAMOND_MOUNT=str(mount))
    programs = programs_directory(mount) / "bin"
    programs.mkdir(mode=0o700, exist_ok=True)
    install_perf(programs)
    install(programs, "drgn", "damon.damond.drgn")
    for name in PROGRAMS:
        install(programs, name, "damon.damond.pids")
    environment["PATH"] = f"{programs}:{environment.get('PATH', os.defpath)}"
    environment[SOCKET_VARIABLE] = str(trace_socket_path(mount))
    if not keep_home:
        environment["HOME"] = str(home_directory(mount))
    return environment


def _module_directories(mount: Path) -> Iterable[Path]:
    return sorted((mount / "module").iterdir())


def _arrange(mount: Path, keep_home: bool) -> dict[str, str]:
    """Enter a mount namespace with everything in place; the command's environment."""
    environment = _environment(mount, keep_home)
    os.close(open_directory("--mount", mount, None, MOUNT_REMEDY))
    tree = mount / "kernel/mm/damon"
    if not tree.is_dir():
        raise DamonError(
            errno.ENOENT,
            f"--mount: {str(mount)!r}: no damond is mounted there; start one with damond, or give its directory",
        )
    enter()
    lay_over(Path("/sys/kernel/mm"), {"damon": tree})
    lay_over(Path("/sys/module"), {directory.name: directory for directory in _module_directories(mount)})
    lay_over_files(Path("/proc"), mount / "proc")
    lay_over_events([f"damon:{event}" for event in EVENTS])
    return environment


def run(arguments: argparse.Namespace) -> int:
    """Does not come back when the command could be started."""
    if os.geteuid():
        raise MissingCapability("user: not root: damon exec mounts over /sys; run it as root (sudo)")
    mount = (arguments.mount or default_mount()).absolute()
    try:
        environment = _arrange(mount, arguments.keep_home)
    except OSError as error:
        if error.errno not in LOST:
            raise
        raise ServiceLost(
            error.errno,
            f"--mount: {str(mount)!r}: its damond has ended, and the command was not started; start damond again",
        ) from None
    try:
        os.execvpe(arguments.words[0], arguments.words, environment)
    except OSError as error:
        raise InvalidInput(
            f"command: {arguments.words[0]!r}: {error.strerror}; give a program that can be run", error.errno or 0
        ) from None
