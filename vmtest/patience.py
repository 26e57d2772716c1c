# SPDX-License-Identifier: GPL-2.0-only
"""How long a guest may take for what it does by itself: on a busy host an emulated one is many times as slow."""

from __future__ import annotations

import math
import os

from .errors import InvalidInput

#: In the environment: so many times as long.
VARIABLE = "VMTEST_PATIENCE"
MOST = 1000.0

#: A lost SSH connection may wait so long for the console to show the reason.
WHY_SECONDS = 4.0
#: A guest that swaps heavily still starts a command in this time.
START_SECONDS = 60.0


def patient(seconds: float) -> float:
    """The limit for this host.

    Raises:
        InvalidInput: the variable is not a number from 1 to 1000.
    """
    given = os.environ.get(VARIABLE) or "1"
    try:
        times = float(given)
    except ValueError:
        times = math.nan
    if not 1 <= times <= MOST:
        raise InvalidInput(
            f"{VARIABLE}: {given[:60]!r}: is not a number from 1 to {MOST:g}; correct it or leave it out"
        )
    return seconds * times
