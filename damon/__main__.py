# SPDX-License-Identifier: GPL-2.0-only
"""``python -m damon`` is the command ``damon``."""

from damon.command import damon

damon()
