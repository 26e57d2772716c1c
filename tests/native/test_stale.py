# SPDX-License-Identifier: GPL-2.0-only
"""A C helper that is older than its sources is refused: its records may be laid out otherwise."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from damon import native
from damon.errors import MissingCapability


def _file(path: Path, mtime: float) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.touch()
    os.utime(path, (mtime, mtime))
    return path


def test_a_younger_source_is_named(tmp_path: Path) -> None:
    library = _file(tmp_path / "libdamon.so", 100)
    _file(tmp_path / "src/a.c", 100)
    _file(tmp_path / "src/notes.swp", 200)
    native.refuse_stale(library, tmp_path / "src")
    _file(tmp_path / "src/b.h", 101)
    with pytest.raises(MissingCapability) as caught:
        native.refuse_stale(library, tmp_path / "src")
    assert str(caught.value).startswith("C helper: libdamon.so: is older than its source b.h; build it again")


def test_an_installation_has_no_sources(tmp_path: Path) -> None:
    native.refuse_stale(_file(tmp_path / "libdamon.so", 100), tmp_path / "src")
    _file(tmp_path / "src/a.c", 100)
    native.refuse_stale(tmp_path / "absent.so", tmp_path / "src")
