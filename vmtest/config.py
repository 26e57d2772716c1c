# SPDX-License-Identifier: GPL-2.0-only
"""What a guest is made of: typed, checked when made, never changed afterwards."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TypeVar

from .errors import InvalidInput, Verdict
from .images import variants
from .images.arch import Architecture, of_image
from .patterns import TOLERABLE

MIB = 1 << 20
MIN_MEMORY = 128 * MIB
_SIZE = re.compile(r"(\d+)([KMGT]?)(?:i?B)?", re.IGNORECASE)
_SHIFT = {"": 0, "K": 10, "M": 20, "G": 30, "T": 40}
ACCELERATORS = ("auto", "kvm", "tcg")
SWAP_KINDS = ("zram", "disk")
# What a checkout has lying about; a slash in front: only at the top.
NOT_COPIED = (".git", ".venv", "__pycache__", ".*_cache", ".hypothesis", "/build", "/dist", "*.egg-info")


def parse_size(value: str | int, name: str) -> int:
    """Bytes of "512M", "1G", "1GiB" (powers of 1024) or a plain number of bytes.

    Raises:
        InvalidInput: anything else; the message names ``name``.
    """
    if isinstance(value, int):
        return value
    match = _SIZE.fullmatch(value.strip())
    if match is None:
        raise InvalidInput(f"{name} {value!r} is no size; write for example 512M or 1G")
    return int(match[1]) << _SHIFT[match[2].upper()]


@dataclass(frozen=True)
class Swap:
    """Swap that is on before the first command: compressed memory or a disk."""

    kind: str
    size: int
    algorithm: str = ""

    @classmethod
    def parse(cls, text: str) -> Swap:
        """From ``zram:512M``, ``zram:512M:zstd`` or ``disk:1G``.

        Raises:
            InvalidInput: anything else.
        """
        kind, _, rest = text.partition(":")
        size, _, algorithm = rest.partition(":")
        if (
            kind not in SWAP_KINDS
            or not size
            or (algorithm and kind != "zram")
            or not re.fullmatch(r"[\w-]*", algorithm)
        ):
            raise InvalidInput(
                f"swap {text!r} is not understood; write zram:SIZE[:ALGORITHM] or disk:SIZE, as in zram:512M"
            )
        bytes_ = parse_size(size, "swap size")
        if bytes_ < MIB:
            raise InvalidInput(f"swap size {size!r} is below 1M; give a larger one")
        return cls(kind, bytes_, algorithm)


def _guest_path(value: str, name: str) -> str:
    if not PurePosixPath(value).is_absolute() or ".." in PurePosixPath(value).parts or re.search(r"\s", value):
        raise InvalidInput(f"{name} guest path {value!r} must be absolute, without '..' and blanks")
    return value


def _host_dir(value: Path, name: str) -> None:
    if not value.is_dir():
        raise InvalidInput(f"{name} host folder {str(value)!r} does not exist or is no folder; correct the path")


@dataclass(frozen=True)
class Tree:
    """A host folder copied into the guest while it boots (its own writable copy)."""

    host: Path
    guest: str
    exclude: tuple[str, ...] = NOT_COPIED

    def __post_init__(self) -> None:
        object.__setattr__(self, "host", Path(self.host))
        _host_dir(self.host, "tree")
        _guest_path(self.guest, "tree")


@dataclass(frozen=True)
class Share:
    """A host folder seen read-only in the guest through 9p: no copy, later changes on the host show."""

    host: Path
    guest: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "host", Path(self.host))
        _host_dir(self.host, "share")
        _guest_path(self.guest, "share")


_Place = TypeVar("_Place", Tree, Share)


@dataclass(frozen=True)
class Timeouts:
    """Seconds each phase may take. ``silence``: without a single console byte while booting."""

    boot: float = 120.0
    silence: float = 45.0
    login: float = 30.0
    command: float = 120.0


@dataclass(frozen=True, kw_only=True)
class GuestConfig:
    """One guest.

    Args:
        kernel: a variant's name ("page-idle", see ``vmtest kernels``), built or taken from the cache, or an image.
            The guest's architecture is the kernel's.
        rootfs: a squashfs image with the setup of ``images/rootfs``; None builds or takes it from the cache.
        memory: size, "1G" or bytes.
        cpus: virtual processors.
        numa: NUMA nodes; memory and processors are split evenly.
        swap: "zram:SIZE[:ALGORITHM]", "disk:SIZE" or None.
        append: added to the kernel command line.
        trees: folders copied in while booting; also ``(host, guest)`` pairs.
        shares: folders shared read-only; also ``(host, guest)`` pairs.
        env: environment of every command.
        accelerator: "auto" (probed once by starting a guest), "kvm" or "tcg".
        timeouts: by phase.
        qemu_args: added to QEMU's command line.
        tolerate: verdicts ("warning", "oom", ...) that are noted in ``Guest.warnings`` and do not end the guest.

    Raises:
        InvalidInput: a value is wrong; the message names it.
    """

    kernel: Path | str = variants.DEFAULT
    rootfs: Path | None = None
    memory: str | int = "1G"
    cpus: int = 2
    numa: int = 1
    swap: str | None = None
    append: str = ""
    trees: tuple[Tree | tuple[Path | str, str], ...] = ()
    shares: tuple[Share | tuple[Path | str, str], ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    accelerator: str = "auto"
    timeouts: Timeouts = field(default_factory=Timeouts)
    qemu_args: tuple[str, ...] = ()
    tolerate: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.rootfs is not None:
            object.__setattr__(self, "rootfs", _readable_file(Path(self.rootfs), "rootfs"))
        object.__setattr__(self, "kernel", _kernel(self.kernel))
        if self.memory_bytes < MIN_MEMORY:
            raise InvalidInput(f"memory {self.memory!r} is too little to boot; give at least {MIN_MEMORY // MIB}M")
        if not 1 <= self.cpus <= 16:
            raise InvalidInput(f"cpus {self.cpus} must be 1 to 16")
        if not 1 <= self.numa <= self.cpus:
            raise InvalidInput(f"numa {self.numa} must be 1 to cpus ({self.cpus}): every node has a processor")
        if self.accelerator not in ACCELERATORS:
            raise InvalidInput(f"accelerator {self.accelerator!r} must be one of {', '.join(ACCELERATORS)}")
        for name in self.env:
            if not re.fullmatch(r"[A-Za-z_]\w*", name):
                raise InvalidInput(f"env name {name!r} must be letters, digits and underscores")
        object.__setattr__(self, "trees", tuple(_pair(Tree, item) for item in self.trees))
        object.__setattr__(self, "shares", tuple(_pair(Share, item) for item in self.shares))
        _ = self.swap_device
        _ = self.tolerated

    @property
    def memory_bytes(self) -> int:
        """Memory in bytes, a whole number of MiB."""
        return parse_size(self.memory, "memory") // MIB * MIB

    @property
    def arch(self) -> Architecture:
        """The architecture, by the kernel."""
        return of_image(self.kernel) if isinstance(self.kernel, Path) else variants.variant(self.kernel).arch

    @property
    def tolerated(self) -> frozenset[Verdict]:
        """What ends no guest, as verdicts."""
        known = {verdict.value: verdict for verdict in TOLERABLE}
        for name in self.tolerate:
            if name not in known:
                raise InvalidInput(
                    f"tolerate {name!r} is no verdict a guest survives; choose of {', '.join(sorted(known))}"
                )
        return frozenset(known[name] for name in self.tolerate)

    @property
    def swap_device(self) -> Swap | None:
        """The swap as a value."""
        return Swap.parse(self.swap) if self.swap else None

    @property
    def tree_list(self) -> tuple[Tree, ...]:
        """The trees as values."""
        return tuple(_pair(Tree, item) for item in self.trees)

    @property
    def share_list(self) -> tuple[Share, ...]:
        """The shares as values."""
        return tuple(_pair(Share, item) for item in self.shares)


def _kernel(given: Path | str) -> Path | str:
    """A variant's name as it is; anything else must be a file."""
    if isinstance(given, str) and given in variants.variants():
        return given
    if isinstance(given, str) and os.sep not in given and not Path(given).exists():
        variants.variant(given)  # refuses it
    return _readable_file(Path(given), "kernel")


def _pair(kind: type[_Place], item: object) -> _Place:
    if isinstance(item, kind):
        return item
    if isinstance(item, tuple) and len(item) == 2:
        return kind(Path(item[0]), str(item[1]))
    raise InvalidInput(f"{kind.__name__.lower()} {item!r} must be a pair (host folder, guest folder)")


def _readable_file(path: Path, name: str) -> Path:
    if not path.exists():
        raise InvalidInput(f"{name} {str(path)!r} does not exist; correct the path, or leave it out to have one built")
    try:
        with path.open("rb") as stream:
            if not stream.read(1):
                raise InvalidInput(f"{name} {str(path)!r} is empty; build it again")
    except OSError as error:
        raise InvalidInput(
            f"{name} {str(path)!r} cannot be read ({error.strerror}); correct path or permissions"
        ) from error
    return path.resolve()
