# SPDX-License-Identifier: GPL-2.0-only
"""A mount namespace in which the emulation lies where the kernel has its own DAMON."""

from __future__ import annotations

import ctypes
import errno
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from damon.errors import DamonError, MissingCapability

CLONE_NEWNS: Final = 0x20000
MS_BIND: Final = 4096
MS_REC: Final = 16384
MS_PRIVATE: Final = 1 << 18
MNT_DETACH: Final = 2
TRACEFS: Final = Path("/sys/kernel/tracing")
_LIBC: Final = ctypes.CDLL(None, use_errno=True)


def enter() -> None:
    """This process sees mounts of its own from now on; no other process sees those that it makes.

    Raises:
        MissingCapability: it may not.
    """
    if _LIBC.unshare(CLONE_NEWNS):
        number = ctypes.get_errno()
        raise MissingCapability(f"mount namespace: {os.strerror(number)}: CAP_SYS_ADMIN is missing; run as root")
    _mount("none", "/", flags=MS_REC | MS_PRIVATE)


def _mount(source: Path | str, target: Path | str, kind: str = "none", flags: int = 0, data: str = "") -> None:
    words = [os.fsencode(word) for word in (source, target, kind)]
    if _LIBC.mount(*words, ctypes.c_ulong(flags), data.encode() or None):
        number = ctypes.get_errno()
        raise DamonError(number, f"mount: {source} on {target}: {os.strerror(number)}")


def lay_over(directory: Path, additions: dict[str, Path]) -> None:
    """``additions`` (name: directory) are in ``directory`` from now on, beside what is there, in this mount namespace.

    A name that is there is mounted over. sysfs takes no new names: then all of ``directory`` becomes one of our own,
    with each old entry in it as it is.
    """
    missing = [name for name in additions if not (directory / name).is_dir()]
    if missing:
        with tempfile.TemporaryDirectory(prefix="damon-exec-") as staging:
            _mount(directory, staging, flags=MS_BIND | MS_REC)
            try:
                _mount("damon", directory, "tmpfs", data="mode=755")
                _copy_entries(Path(staging), directory)
                for name in missing:
                    (directory / name).mkdir()
            finally:
                _LIBC.umount2(os.fsencode(staging), MNT_DETACH)
    for name, source in additions.items():
        _mount(source, directory / name, flags=MS_BIND | MS_REC)


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


def lay_over_files(directory: Path, sources: Path) -> None:
    """The files in ``sources``, if there are any, lie over those of ``directory``, in this mount namespace."""
    if sources.is_dir():
        for source in sorted(sources.iterdir()):
            _mount(source, directory / source.name, flags=MS_BIND)


def _tracefs() -> Path | None:
    """Where tracefs is mounted, if need be by us; None: this kernel has none."""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, place, kind, *_ = line.split()
        if kind == "tracefs":
            return Path(place)
    try:
        _mount("tracefs", TRACEFS, "tracefs")
    except DamonError as error:
        if error.errno in {errno.ENODEV, errno.ENOENT, errno.EPERM}:
            return None
        raise
    return TRACEFS


def lay_over_events(events: Sequence[str]) -> None:
    """``available_events`` of tracefs has ``events`` (``group:name``) for those groups, in this mount namespace.

    Only the list: what reads the events themselves finds them through the ``perf`` of ``damon.trace``.
    """
    directory = _tracefs()
    if directory is None:
        return
    groups = {event.partition(":")[0] for event in events}
    there = (directory / "available_events").read_text().splitlines()
    lines = [line for line in there if line.partition(":")[0] not in groups] + list(events)
    with tempfile.NamedTemporaryFile("w", prefix="damon-exec-") as file:
        file.write("".join(f"{line}\n" for line in lines))
        file.flush()
        _mount(file.name, directory / "available_events", flags=MS_BIND)  # and stays, although its name goes
