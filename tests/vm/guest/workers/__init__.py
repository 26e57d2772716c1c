# SPDX-License-Identifier: GPL-2.0-only
"""Checks of running contexts and modules on this kernel, for a guest: ``python -m tests.vm.guest.workers [NAME ...]``.

Each compares with the kernel's own accounts, not with our counters, and waits for conditions: ``choosing``, ``goals``,
``living``, ``lists``, ``kinds``, ``sharing``; all use ``stage``.
"""

from tests.vm.guest.workers import choosing, goals, kinds, lists, living, sharing
from tests.vm.guest.workers.stage import CHECKS

__all__ = ["CHECKS", "choosing", "goals", "kinds", "lists", "living", "sharing"]
