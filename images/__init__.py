# SPDX-License-Identifier: GPL-2.0-only
"""Recipes for what a guest boots: kernel config fragments, kernel build, root file system.

Imported as ``vmtest.images``. Everything built is cached by content (``cache``), built aside and renamed into place,
so an interrupted build never hurts the next one.
"""
