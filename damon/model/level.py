# SPDX-License-Identifier: GPL-2.0-only
"""Which kernel's features there are. What each level has is in ``damon.core.level``."""

from __future__ import annotations

import enum


class Level(enum.Enum):
    """Values are those of ``Damon(level=...)`` and of ``--level``."""

    V7_3 = "7.3"
    NEXT = "next"  #: also what is merged for the release after it
