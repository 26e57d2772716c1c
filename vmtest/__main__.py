# SPDX-License-Identifier: GPL-2.0-only
"""``python -m vmtest`` is the command ``vmtest``."""

from vmtest.command import vmtest

vmtest()
