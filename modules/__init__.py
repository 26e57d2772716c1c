# SPDX-License-Identifier: GPL-2.0-only
"""Loadable modules: each directory here declares parameters and has ``init`` and ``exit``; ``loader.py`` finds them.

``params.py`` is the kernel's parameter grammar, ``switch.py`` the states of ``enabled``, ``common.py`` what reclaim and
lru_sort share (the kernel's ``modules-common``). A user's own directory of modules works the same.
"""
