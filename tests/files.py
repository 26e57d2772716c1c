# SPDX-License-Identifier: GPL-2.0-only
"""Trees of files for tests."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path


def lay(where: Path, files: Mapping[str, str | bytes]) -> Path:
    """Write each file below ``where``, with the directories that it needs; what ends with a slash is a directory."""
    for name, content in files.items():
        path = where / name
        (path if name.endswith("/") else path.parent).mkdir(parents=True, exist_ok=True)
        if not name.endswith("/"):
            path.write_bytes(content.encode() if isinstance(content, str) else content)
    return where
