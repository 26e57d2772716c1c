# SPDX-License-Identifier: GPL-2.0-only
"""Host directories that a guest has: copied into it, or shared with it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TypeVar

from .errors import InvalidInput

# What a checkout has lying about; a slash in front: a path from the top.
NOT_COPIED = (".git", ".venv", "__pycache__", ".*_cache", ".hypothesis", "/build", "/dist", "*.egg-info")


def _guest_path(value: str, name: str) -> str:
    if not PurePosixPath(value).is_absolute() or ".." in PurePosixPath(value).parts or re.search(r"\s", value):
        raise InvalidInput(f"{name} guest path: {value!r}: is not valid; give an absolute one, without '..' and blanks")
    return value


def _host_dir(value: Path, name: str) -> None:
    if not value.is_dir():
        raise InvalidInput(
            f"{name} host directory: {str(value)!r}: does not exist or is not a directory; correct the path"
        )


@dataclass(frozen=True)
class Tree:
    """A host directory copied into the guest while it boots (its own writable copy)."""

    host: Path
    guest: str
    exclude: tuple[str, ...] = NOT_COPIED

    def __post_init__(self) -> None:
        object.__setattr__(self, "host", Path(self.host))
        _host_dir(self.host, "tree")
        _guest_path(self.guest, "tree")


@dataclass(frozen=True)
class Share:
    """A host directory seen read-only in the guest through 9p: no copy, later changes on the host show."""

    host: Path
    guest: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "host", Path(self.host))
        _host_dir(self.host, "share")
        _guest_path(self.guest, "share")


_Place = TypeVar("_Place", Tree, Share)


def pair(kind: type[_Place], item: object) -> _Place:
    """One of them as it is, or made of a pair.

    Raises:
        InvalidInput: it is neither, or of no such directory.
    """
    if isinstance(item, kind):
        return item
    if isinstance(item, tuple) and len(item) == 2:
        return kind(Path(item[0]), str(item[1]))
    raise InvalidInput(
        f"{kind.__name__.lower()}: {item!r}: is not valid; give a pair (host directory, guest directory)"
    )
