# SPDX-License-Identifier: GPL-2.0-only
"""What was found out about this host and stays true for a while: small JSON files in the cache directory."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from ..cache import cache_root


def boot_id() -> str:
    """Of the host's running kernel: what was found out may differ after the next boot."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def recall(file: str, key: str) -> dict[str, object] | None:
    """What was kept in a file of that name, if it was under that key."""
    try:
        known = json.loads((cache_root() / file).read_text())
        return known if known["key"] == key else None
    except (OSError, ValueError, KeyError, TypeError):
        return None  # none, or written by another version


def keep(file: str, key: str, /, **found: object) -> None:
    """Keeps it, whole or not at all, in place of what was there."""
    path = cache_root() / file
    with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False) as scratch:
        json.dump({"key": key, **found}, scratch)
    Path(scratch.name).replace(path)
