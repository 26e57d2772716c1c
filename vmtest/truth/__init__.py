# SPDX-License-Identifier: GPL-2.0-only
"""Truth: which memory a guest's programs access, seen by its emulator, whatever the TLB does.

``plugin.c``, ``access.c`` and ``windows.c`` are a plugin of QEMU that counts by frame. ``agent.c``, ``look.c`` and
``processes.c`` are a program in the guest that notes which process has which frame. ``programs.py`` compiles both,
``form.py`` has the format of the raw file, and ``record.py`` runs a command with all of it. What a raw file means for
DAMON is not this package's.
"""
