# SPDX-License-Identifier: GPL-2.0-only
"""The folder of one run: private, named after its owner, and removed even when the owner could not."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

PREFIX = "vmtest."


def make() -> Path:
    """A new folder, readable by its owner only; removes what dead owners left on the way."""
    sweep()
    return Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}."))


def sweep() -> None:
    """Removes run folders whose owner was killed before it had a supervisor."""
    for path in Path(tempfile.gettempdir()).glob(f"{PREFIX}[0-9]*.*"):
        owner = path.name.split(".")[1]
        if owner.isdigit() and not Path(f"/proc/{owner}").exists():
            try:
                mine = path.stat().st_uid == os.getuid() and path.is_dir()
            except OSError:
                continue
            if mine:
                shutil.rmtree(path, ignore_errors=True)
