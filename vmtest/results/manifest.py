# SPDX-License-Identifier: GPL-2.0-only
"""``manifest.json`` of a guest: all it was made of and did, so that ``vmtest rerun`` repeats exactly that."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import msgspec

from ..errors import InvalidInput
from ..images.arch import X86_64
from ..quoting import quoted
from . import stored
from .job import FileRef, Job
from .outcome import Outcome

NAME = "manifest.json"
#: The version of the file format.
FORMAT = 1


class Manifest(msgspec.Struct, kw_only=True):
    """A job and what became of it.

    Attributes:
        kernel_release: from its console.
        accelerator: "kvm" or "tcg".
        arch: the guest's architecture: the kernel's.
        qemu: the command line as it was; ``qemu.sh`` beside it can be run.
        host: the machine the guest ran on.
        memory: what became of memory that was plugged and unplugged, a line each.
        dump: file beside it with the memory of a lost guest, for crash and drgn; empty without one.
    """

    format: int = FORMAT
    job: Job
    outcome: Outcome
    kernel_release: str = ""
    accelerator: str = ""
    arch: str = X86_64.name
    qemu: list[str] = []
    versions: dict[str, str] = {}
    host: str = ""
    memory: list[str] = []
    dump: str = ""


def write(manifest: Manifest, directory: Path) -> None:
    """Writes it into a guest's artifact directory."""
    (directory / NAME).write_bytes(msgspec.json.format(msgspec.json.encode(manifest), indent=1) + b"\n")


def read(path: Path) -> Manifest:
    """Reads one; ``path`` is the file or its directory.

    Raises:
        InvalidInput: there is none, or it is none.
    """
    file = path / NAME if path.is_dir() else path
    return stored.read(file, Manifest, "manifest", "a guest", f"give one of a run's guests/*/{NAME}", FORMAT)


def _there(test: Callable[[], bool]) -> bool:
    """False, too, for what can be no path: a name that is too long."""
    try:
        return test()
    except OSError:
        return False


def check_files(job: Job) -> None:
    """Whether the files of a job are still what they were.

    Raises:
        InvalidInput: one is gone or has changed.
    """
    for what, file in (("kernel", job.kernel), ("rootfs", job.rootfs)):
        path = Path(file.path)
        if not _there(path.is_file):
            raise InvalidInput(f"{what}: {quoted(file.path)}: is gone; build it again, or give another with --{what}")
        if sha256_of(path) != file.sha256:
            raise InvalidInput(
                f"{what}: {quoted(file.path)}: is not what it was (sha256 {file.sha256[:12]}...); "
                f"bring that one back, or give --{what} to run with another"
            )
    for host, _guest in job.trees:
        if not _there(Path(host).is_dir):
            raise InvalidInput(f"tree: {quoted(host)}: is gone; bring it back")


def file_ref(path: Path) -> FileRef:
    """A file with its hash."""
    path = path.resolve()
    return FileRef(str(path), sha256_of(path))


def sha256_of(path: Path) -> str:
    """The content's hash, remembered as long as the file does not change."""
    stat = path.stat()
    return _sha256(str(path), stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=64)
def _sha256(path: str, _mtime: int, _size: int) -> str:
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
