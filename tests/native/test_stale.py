# SPDX-License-Identifier: GPL-2.0-only
"""A C helper that is older than its sources is refused: its records may be laid out otherwise."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from damon import native
from damon.errors import MissingCapability


def _file(path: Path, mtime: float) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    os.utime(path, (mtime, mtime))
    return path


def test_a_younger_source_is_named(tmp_path: Path) -> None:
    _file(tmp_path / "setup.py", 0)
    place = tmp_path / "damon/native"
    library = _file(place / "libdamon.so", 100)
    _file(place / "src/a.c", 100)
    _file(place / "src/notes.swp", 200)
    native.refuse_stale(library, place / "src")
    _file(place / "src/b.h", 101)
    with pytest.raises(MissingCapability) as caught:
        native.refuse_stale(library, place / "src")
    assert str(caught.value).startswith("C helper: libdamon.so: is older than its source b.h; build it again")


def test_an_installation_and_what_is_not_built(tmp_path: Path) -> None:
    """pip gives all files the time at which it writes them."""
    place = tmp_path / "damon/native"
    library = _file(place / "libdamon.so", 100)
    _file(place / "src/a.c", 101)
    native.refuse_stale(library, place / "src")
    _file(tmp_path / "setup.py", 0)
    native.refuse_stale(place / "absent.so", place / "src")
