# SPDX-License-Identifier: GPL-2.0-only
"""Checks of ``damon.mm.linux`` on the running kernel, for a guest: ``python -m tests.vm.guest.linux_mm [NAME ...]``.

Each reads back from the kernel what happened: ``sampling``, ``acting``, ``filters``, ``migrating``, ``measuring``,
``probing``, ``processes``; all use ``stage``.
"""

from tests.vm.guest.linux_mm import acting, filters, measuring, migrating, probing, processes, sampling
from tests.vm.guest.linux_mm.stage import CHECKS

__all__ = ["CHECKS", "acting", "filters", "measuring", "migrating", "probing", "processes", "sampling"]
