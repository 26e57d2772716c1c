# SPDX-License-Identifier: GPL-2.0-only
"""Prints one JSON object a check."""

from __future__ import annotations

import sys

from tests.vm.guest.newest import CHECKS

if __name__ == "__main__":
    CHECKS.run(sys.argv[1:])
