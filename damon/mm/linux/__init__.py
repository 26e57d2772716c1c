# SPDX-License-Identifier: GPL-2.0-only
"""The running kernel's memory, from user space: page_idle bitmap, pagemap, kpageflags, process_madvise.

``machine.py`` is the machine, ``process.py`` and ``physical.py`` its address spaces, ``capabilities.py`` what it asks
of a system, ``native.py`` the C routines. What is acted on: docs/explanation/linux.md.
"""

from damon.mm.linux.machine import LinuxMachine

__all__ = ["LinuxMachine"]
