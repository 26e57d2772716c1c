# SPDX-License-Identifier: GPL-2.0-only
"""What a manifest chooses of this host. One that came from elsewhere may be hostile."""

from __future__ import annotations

import os
import re
from pathlib import Path

from .. import cache
from ..errors import InvalidInput
from .job import Job

#: Of a guest's configuration what stays in the guest, or is refused by this host where it has not enough of it.
HARMLESS = frozenset(
    [
        *("memory", "cpus", "numa", "swap", "append", "accelerator", "machine", "memory_max", "plug", "numa_memory"),
        *("numa_cpus", "numa_distance", "hugepages", "thp", "cgroups", "in_cgroup", "dump_on_panic", "snapshot"),
    ]
)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,127}")


def choices(job: Job, *, kernel: bool = True, rootfs: bool = True) -> list[str]:
    """What a job chooses of this host, a few words each: files that are not in the cache, directories, QEMU arguments.

    Args:
        job: of a manifest.
        kernel: its kernel (with symbols and configuration) is used.
        rootfs: its root file system is used.
    """
    found = []
    files = [("kernel", job.kernel), ("vmlinux", job.vmlinux), ("kernel_config", job.kernel_config)] if kernel else []
    files += [("rootfs", job.rootfs)] if rootfs else []
    for what, file in files:
        if file is not None and not _built_here(file.path):
            found.append(f"{what} {file.path!r}")
    found += [f"tree {host!r}" for host, _guest in job.trees]
    for name, value in job.machine_args.items():
        if name not in HARMLESS and value:
            found.append(f"{name} {value!r}")
    return found


def check_names(job: Job, what: str) -> None:
    """Whether a job's names are those of a suite: directories of results are called by them.

    Raises:
        InvalidInput: one is not.
    """
    for part in (job.suite, job.kernel_name, job.machine_name, job.workload_name, job.test_name):
        if not _NAME.fullmatch(part):
            raise InvalidInput(
                f"{what}: the name {part[:80]!r} is none of a suite's; give the manifest as it was written"
            )


def check(job: Job, what: str, *, kernel: bool = True, rootfs: bool = True) -> None:
    """Refuses a job that chooses anything of this host; arguments as for :func:`choices`.

    Raises:
        InvalidInput: it does; the message names all of it.
    """
    if found := choices(job, kernel=kernel, rootfs=rootfs):
        raise InvalidInput(
            f"{what}: it chooses of this host: {', '.join(found)}; where you know that and want it, give --trust"
        )


def _built_here(path: str) -> bool:
    """Whether a file is one that this user's cache has: built here, not chosen by a manifest."""
    real = Path(os.path.realpath(path))
    return any(real.is_relative_to(os.path.realpath(cache.cache_root() / kind)) for kind in ("kernel", "rootfs"))
