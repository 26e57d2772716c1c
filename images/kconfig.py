# SPDX-License-Identifier: GPL-2.0-only
"""Kernel config fragments: what each asks for, and whether a finished ``.config`` really has it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

FRAGMENTS = Path(__file__).parent / "kernel"
# Options of the shipped fragments that trees of 6.1 do not have yet, and the files that declare them in later ones.
NEWER = {
    "CONFIG_EROFS_FS_PCPU_KTHREAD": "fs/erofs/Kconfig",
    "CONFIG_SQUASHFS_COMPILE_DECOMP_MULTI_PERCPU": "fs/squashfs/Kconfig",
    "CONFIG_ZRAM_BACKEND_LZO": "drivers/block/zram/Kconfig",
    "CONFIG_ZRAM_BACKEND_ZSTD": "drivers/block/zram/Kconfig",
}
_SET = re.compile(r"^(CONFIG_\w+)=(.*)$")
_UNSET = re.compile(r"^# (CONFIG_\w+) is not set$")


@dataclass(frozen=True)
class Option:
    """One option as a fragment asks for it; ``value`` None means "not set"."""

    name: str
    value: str | None
    fragment: str

    def __str__(self) -> str:
        return f"{self.name}={self.value}" if self.value is not None else f"{self.name} not set"


def fragments(folder: Path = FRAGMENTS, arch: str = "") -> list[Path]:
    """The fragments in the order they are merged: by file name, then those in the folder of an architecture."""
    return sorted(folder.glob("*.config")) + (sorted((folder / arch).glob("*.config")) if arch else [])


def parse(text: str) -> dict[str, str | None]:
    """Options of a ``.config`` or fragment: name to value, None for "is not set"."""
    options: dict[str, str | None] = {}
    for line in text.splitlines():
        if match := _SET.match(line):
            options[match[1]] = match[2]
        elif match := _UNSET.match(line):
            options[match[1]] = None
    return options


def requested(paths: Iterable[Path]) -> list[Option]:
    """Every option the fragments ask for; of two that differ the last counts, as when they are merged."""
    asked: dict[str, Option] = {}
    for path in paths:
        asked.update({name: Option(name, value, path.name) for name, value in parse(path.read_text()).items()})
    return list(asked.values())


def dropped(wanted: Iterable[Option], final: str) -> list[Option]:
    """The requests that a finished ``.config`` does not honour: dependencies missing, renamed, or forced on by another.

    An option that the tree does not know counts as not set.
    """
    have = parse(final)
    return [option for option in wanted if have.get(option.name) != option.value]


def too_old_for(tree: Path, option: Option) -> bool:
    """Whether a tree lacks the option because it is of a time before it, so that the lack is no fault."""
    declared = NEWER.get(option.name)
    if declared is None or not (tree / declared).is_file():
        return False
    return f"config {option.name.removeprefix('CONFIG_')}\n" not in (tree / declared).read_text(errors="replace")
