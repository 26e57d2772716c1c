# SPDX-License-Identifier: GPL-2.0-only
"""Where what is read from files is written, and what a command says when it refuses its input."""

from __future__ import annotations

from pathlib import Path

scratch: list[Path] = []


def use(directory: Path) -> None:
    """Where targets write what they read from files."""
    scratch[:] = [directory]


def file_of(data: bytes, name: str = "input") -> Path:
    path = scratch[0] / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)
    return path


def text_of(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


class Said(Exception):
    """What a command said when it refused its input."""
