# SPDX-License-Identifier: GPL-2.0-only
"""The memory itself: ``linux`` (real page tables) and ``sim`` (a simulated machine) behind one interface.

``interface.py`` is that interface; an operations set talks to nothing else. ``clock.py`` has the two clocks.
A new machine is a new directory here.
"""
