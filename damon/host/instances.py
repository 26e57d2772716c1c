# SPDX-License-Identifier: GPL-2.0-only
"""Instances of tracefs: buffers of trace events of one's own, as directories."""

from __future__ import annotations

import errno
import time
from pathlib import Path

from damon.errors import DamonError


def remove(place: Path, seconds: float = 2.0) -> list[str]:
    """Remove an instance; what could not be done. A process that was killed may have it open for a moment."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            place.rmdir()
            return []
        except FileNotFoundError:
            return []
        except OSError as error:
            if error.errno != errno.EBUSY or time.monotonic() >= deadline:
                return [str(DamonError(error.errno or errno.EIO, f"{place}: cannot be removed: {error.strerror}"))]
        time.sleep(0.01)
