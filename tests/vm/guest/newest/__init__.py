# SPDX-License-Identifier: GPL-2.0-only
"""Checks of what follows 7.3, on this kernel, for a guest: ``python -m tests.vm.guest.newest [NAME ...]``.

``attributes``: probes, preparations and schemes of the level ``next``, also by damond's files. ``reporting``: accesses
that a source reports. ``samples``: the kernel's sample modules.
"""

from tests.vm.guest.newest import attributes, reporting, samples
from tests.vm.guest.newest.stage import CHECKS

__all__ = ["CHECKS", "attributes", "reporting", "samples"]
