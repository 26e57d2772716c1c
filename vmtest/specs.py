# SPDX-License-Identifier: GPL-2.0-only
"""What the short texts of a configuration mean: swap, huge pages, control groups, memory that comes and goes."""

from __future__ import annotations

import re
from dataclasses import dataclass

from .errors import InvalidInput
from .sizes import MIB, parse_size, shown

SWAP_KINDS = ("zram", "disk")
THP = ("always", "madvise", "never")
HUGE_SIZES = (2 * MIB, 1024 * MIB)
#: virtio-mem gives and takes memory in pieces of this size.
PIECE = 2 * MIB
_CGROUP_NAME = re.compile(r"[A-Za-z0-9_][\w.-]*(?:/[A-Za-z0-9_][\w.-]*)*")
_CGROUP_FILE = re.compile(r"([a-z]+)\.[a-z0-9_.]+")
# Values may have commas of their own: cpuset.cpus=0,2.
_BETWEEN_FILES = re.compile(r",(?=[a-z]+\.[a-z0-9_.]+=)")
_STEP = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)s?:([+-])([^@]+)(?:@(\d{1,4}))?", re.ASCII)


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
                f"swap: {text!r}: is not valid; give zram:SIZE[:ALGORITHM] or disk:SIZE, as in zram:512M"
            )
        bytes_ = parse_size(size, "swap size")
        if bytes_ < MIB:
            raise InvalidInput(f"swap size: {size!r}: is below 1M; give a larger one")
        return cls(kind, bytes_, algorithm)


@dataclass(frozen=True)
class HugePages:
    """Reserved huge pages of one size in bytes."""

    size: int
    count: int

    @property
    def bytes(self) -> int:
        """What they take."""
        return self.size * self.count


def huge_pages(text: str) -> tuple[HugePages, ...]:
    """From ``2M:64`` or ``2M:64,1G:1``.

    Raises:
        InvalidInput: anything else.
    """
    found: list[HugePages] = []
    for word in text.split(",") if text else ():
        size, colon, count = word.strip().partition(":")
        if not colon or not re.fullmatch("[0-9]{1,9}", count) or not int(count):
            raise InvalidInput(f"hugepages: {word!r}: is not valid; give SIZE:COUNT, as in 2M:64")
        bytes_ = parse_size(size, "hugepages size")
        if bytes_ not in HUGE_SIZES:
            raise InvalidInput(
                f"hugepages size: {size!r}: is unknown; give one of {', '.join(shown(one) for one in HUGE_SIZES)}"
            )
        if any(one.size == bytes_ for one in found):
            raise InvalidInput(f"hugepages: {text!r}: gives {size} twice; remove one")
        found.append(HugePages(bytes_, int(count)))
    return tuple(found)


@dataclass(frozen=True)
class Cgroup:
    """A control group (v2): its path below the root, and what is written to its files, in order."""

    name: str
    files: tuple[tuple[str, str], ...]

    @property
    def controllers(self) -> tuple[str, ...]:
        """Those that its files belong to."""
        names = dict.fromkeys(file.partition(".")[0] for file, _ in self.files)
        return tuple(name for name in names if name != "cgroup")

    @classmethod
    def parse(cls, text: str) -> Cgroup:
        """From ``NAME:memory.max=256M,memory.swap.max=0`` or ``NAME``.

        Raises:
            InvalidInput: anything else.
        """
        name, _, rest = text.partition(":")
        if not _CGROUP_NAME.fullmatch(name):
            raise InvalidInput(f"cgroup: {text!r}: is not valid; give NAME:FILE=VALUE,..., as in box:memory.max=256M")
        files = []
        for word in _BETWEEN_FILES.split(rest) if rest else ():
            file, equals, value = word.partition("=")
            if not equals or not value or not value.isprintable() or not _CGROUP_FILE.fullmatch(file):
                raise InvalidInput(f"cgroup {name}: {word!r}: is not valid; give FILE=VALUE, as in memory.max=256M")
            files.append((file, value))
        return cls(name, tuple(files))


@dataclass(frozen=True)
class Step:
    """Memory that comes (or, negative, goes) so many seconds after a command's start."""

    at: float
    bytes: int
    node: int = 0

    @property
    def text(self) -> str:
        """``+512M of node 0``."""
        return f"{'+' if self.bytes > 0 else '-'}{shown(abs(self.bytes))} of node {self.node}"

    @classmethod
    def parse(cls, text: str) -> Step:
        """From ``10s:+512M`` or ``30s:-512M@1`` (of node 1).

        Raises:
            InvalidInput: anything else.
        """
        match = _STEP.fullmatch(text.strip())
        if match is None:
            raise InvalidInput(
                f"plug: {text!r}: is not valid; give SECONDS:+SIZE[@NODE] or SECONDS:-SIZE[@NODE], as in 10s:+512M"
            )
        size = piece(match[3], "plug")
        return cls(float(match[1]), size if match[2] == "+" else -size, int(match[4] or 0))


def piece(text: str | int, name: str) -> int:
    """A size that memory can come or go by, in bytes.

    Raises:
        InvalidInput: it is none, or no multiple of 2M.
    """
    size = parse_size(text, name)
    if size <= 0 or size % PIECE:
        raise InvalidInput(f"{name}: {text!r}: is not a multiple of {shown(PIECE)} above 0; give one")
    return size


def check_steps(steps: tuple[Step, ...], spare: int, nodes: int) -> None:
    """Whether memory that may grow by ``spare`` bytes can follow the steps.

    Raises:
        InvalidInput: it cannot; the message names the step.
    """
    plugged = dict.fromkeys(range(nodes), 0)
    for step in sorted(steps, key=lambda one: one.at):
        where = f"plug: {step.text} after {step.at:g} s"
        if not spare:
            raise InvalidInput(f"{where}: memory cannot grow; give memory_max")
        if step.node >= nodes:
            raise InvalidInput(f"{where}: there is no node {step.node}; numa is {nodes}")
        plugged[step.node] += step.bytes
        if plugged[step.node] < 0:
            had = shown(plugged[step.node] - step.bytes)
            raise InvalidInput(f"{where}: {had} are plugged by then; unplug at most that")
        if sum(plugged.values()) > spare:
            raise InvalidInput(f"{where}: that is more than memory_max leaves ({shown(spare)}); plug less, or raise it")
