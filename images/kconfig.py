# SPDX-License-Identifier: GPL-2.0-only
"""Kernel config fragments: what each asks for, and whether a finished ``.config`` really has it.

A fragment is what the kernel's own ``merge_config.sh`` merges. Trees differ, so a line below an option may qualify it;
to the kernel it is a comment:

    CONFIG_PREEMPT_VOLUNTARY=y
    #or CONFIG_PREEMPT_LAZY=y       one of them will do; the first is preferred
    CONFIG_ZRAM_BACKEND_LZO=y
    #where-declared                 a tree whose Kconfig files do not declare it is excused
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from ..errors import InvalidInput

FRAGMENTS = Path(__file__).parent / "kernel"
_SET = re.compile(r"^(CONFIG_\w+)=(.*)$")
_UNSET = re.compile(r"^# (CONFIG_\w+) is not set$")


_OTHER = re.compile(r"^#or (CONFIG_\w+=.*|CONFIG_\w+ is not set)$")
_EXCUSED = "#where-declared"
_DECLARED = re.compile(r"^(?:menu)?config (\w+)", re.MULTILINE)
# No Kconfig file of a kernel is there, and there are many files.
_NO_KCONFIG = frozenset({".git", "Documentation", "tools"})


@dataclass(frozen=True)
class Option:
    """One option as a fragment asks for it.

    Attributes:
        value: None means "not set".
        fragment: the file's name.
        others: what will do instead, the preferred first.
        where_declared: a tree that does not declare it is excused.
    """

    name: str
    value: str | None
    fragment: str
    others: tuple[Option, ...] = ()
    where_declared: bool = False

    def met(self, have: Mapping[str, str | None]) -> bool:
        """Whether a configuration has it or one of the others; an option that it does not mention is not set."""
        return have.get(self.name) == self.value or any(other.met(have) for other in self.others)

    @property
    def line(self) -> str:
        """It as a line of a fragment, without what will do instead."""
        return f"{self.name}={self.value}" if self.value is not None else f"# {self.name} is not set"

    def __str__(self) -> str:
        own = f"{self.name}={self.value}" if self.value is not None else f"{self.name} not set"
        return " or ".join([own, *(str(other) for other in self.others)])


def fragments(directory: Path = FRAGMENTS, arch: str = "") -> list[Path]:
    """The fragments in the order they are merged: by file name, then those in the directory of an architecture."""
    return sorted(directory.glob("*.config")) + (sorted((directory / arch).glob("*.config")) if arch else [])


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
    """Every option the fragments ask for; of two that differ the last counts, as when they are merged.

    Raises:
        InvalidInput: a qualifying line has no option before it.
    """
    asked: dict[str, Option] = {}
    for path in paths:
        asked.update({option.name: option for option in _of_fragment(path.read_text(), path.name)})
    return list(asked.values())


def _of_fragment(text: str, fragment: str) -> list[Option]:
    found: list[Option] = []
    for number, line in enumerate(text.splitlines(), 1):
        other = _OTHER.match(line)
        if not line.startswith(("#or", _EXCUSED)):
            found += [Option(name, value, fragment) for name, value in parse(line).items()]
        elif not found or not (other or line == _EXCUSED):
            raise InvalidInput(
                f"{fragment}:{number}: {line!r} does not belong to an option; write '#or CONFIG_NAME=VALUE' or "
                f"{_EXCUSED!r} below one"
            )
        elif other:
            ((name, value),) = parse(other[1] if "=" in other[1] else f"# {other[1]}").items()
            found[-1] = replace(found[-1], others=(*found[-1].others, Option(name, value, fragment)))
        else:
            found[-1] = replace(found[-1], where_declared=True)
    return found


def others(wanted: Iterable[Option]) -> str:
    """What will do instead of options, as a fragment to merge before all others: of a choice the last one counts."""
    return "".join(f"{other.line}\n" for option in wanted for other in reversed(option.others))


def dropped(wanted: Iterable[Option], final: str) -> list[Option]:
    """The requests that a finished ``.config`` does not honour: dependencies missing, renamed, or forced on by another.

    An option that the tree does not have counts as not set.
    """
    have = parse(final)
    return [option for option in wanted if not option.met(have)]


def declared(tree: Path) -> frozenset[str]:
    """All options that a tree's Kconfig files declare, of any architecture."""
    found: set[str] = set()
    for directory, directories, files in os.walk(tree):
        directories[:] = [name for name in directories if name not in _NO_KCONFIG]
        for name in files:
            if name.startswith("Kconfig"):
                text = Path(directory, name).read_text(errors="replace")
                found.update(f"CONFIG_{word}" for word in _DECLARED.findall(text))
    return frozenset(found)


def not_honoured(wanted: Iterable[Option], final: str, tree: Path | None = None) -> list[Option]:
    """Those of :func:`dropped` that are a fault: the tree declares them, or they are asked for whatever the tree.

    Args:
        wanted: of :func:`requested`.
        final: a finished ``.config``.
        tree: what it is of; None where there is only the ``.config``, which mentions most of what its tree declares.
    """
    missing = dropped(wanted, final)
    if any(option.where_declared for option in missing):
        known = parse(final).keys() if tree is None else declared(tree)
        missing = [option for option in missing if not option.where_declared or option.name in known]
    return missing
