# SPDX-License-Identifier: GPL-2.0-only
"""Checks of read-write protection on the running kernel, for a guest: ``python -m tests.vm.guest.rwp [NAME ...]``."""

from tests.vm.guest.rwp import exact, living, observing, users
from tests.vm.guest.rwp.stage import CHECKS

__all__ = ["CHECKS", "exact", "living", "observing", "users"]
