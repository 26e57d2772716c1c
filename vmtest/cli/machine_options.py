# SPDX-License-Identifier: GPL-2.0-only
"""Options for a guest's machine beyond its size: nodes, memory that changes, huge pages, control groups, dumps."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..errors import InvalidInput
from ..specs import THP


def add_machine_options(to: argparse.ArgumentParser) -> None:
    """The options of every command that boots a guest."""
    to.add_argument("--numa", type=int, default=1, metavar="N", help="NUMA nodes (default: 1)")
    to.add_argument(
        "--numa-memory", default="", metavar="SIZES", help="memory by node, as in 768M,256M (default: split evenly)"
    )
    to.add_argument(
        "--numa-cpus",
        default="",
        metavar="COUNTS",
        help="processors by node, as in 2,0: node 1 has memory only (default: split evenly)",
    )
    to.add_argument(
        "--numa-distance",
        action="append",
        default=[],
        metavar="A:B=D",
        help="distance of two nodes, as in 0:1=30, both ways (default: 20); may be repeated",
    )
    to.add_argument(
        "--memory-max", metavar="SIZE", help="memory may grow to this while the guest runs (default: it stays)"
    )
    to.add_argument(
        "--hugepages", default="", metavar="SIZE:COUNT", help="huge pages reserved at boot, as in 2M:64 or 2M:64,1G:1"
    )
    to.add_argument("--thp", choices=THP, help="transparent huge pages (default: the kernel's own)")
    to.add_argument(
        "--cgroup",
        action="append",
        default=[],
        metavar="NAME:FILE=VALUE,...",
        help="control group, as in box:memory.max=256M,memory.swap.max=0; may be repeated",
    )
    to.add_argument("--in-cgroup", default="", metavar="NAME", help="the one of them that the command runs in")


def add_command_options(to: argparse.ArgumentParser) -> None:
    """The options of commands that run one command or shell in one guest."""
    to.add_argument(
        "--plug",
        action="append",
        default=[],
        metavar="S:+SIZE[@NODE]",
        help="memory comes (or goes: S:-SIZE) so many seconds after the command's start; needs --memory-max; may be "
        "repeated",
    )
    to.add_argument(
        "--dump",
        type=Path,
        metavar="DIR",
        help="when the kernel is lost, keep its memory there as 'vmcore', for crash and drgn; and the whole console",
    )


def machine_values(options: argparse.Namespace) -> dict[str, Any]:
    """Arguments of ``GuestConfig``."""
    return {
        "numa": options.numa,
        "numa_memory": options.numa_memory,
        "numa_cpus": options.numa_cpus,
        "numa_distance": ",".join(options.numa_distance),
        "memory_max": options.memory_max,
        "plug": tuple(getattr(options, "plug", ())),
        "hugepages": options.hugepages,
        "thp": options.thp,
        "cgroups": tuple(options.cgroup),
        "in_cgroup": options.in_cgroup,
        "dump_on_panic": getattr(options, "dump", None) is not None,
    }


def dump_directory(options: argparse.Namespace, most: int) -> Path | None:
    """The directory of ``--dump``, made; ``most``: bytes that a dump may have.

    Raises:
        InvalidInput: it cannot be made, has a dump already or has no room for one.
    """
    from ..qemu import dump

    directory: Path | None = options.dump
    if directory is None:
        return None
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidInput(f"--dump: {str(directory)!r}: {error.strerror}; give another directory") from error
    if (directory / dump.NAME).exists():
        raise InvalidInput(f"--dump: {str(directory)!r}: has a dump already; move it away, or give another directory")
    if why := dump.lacks_room(directory, most):
        raise InvalidInput(f"--dump: {str(directory)!r}: {why}; free some, or give another directory")
    return directory.resolve()
