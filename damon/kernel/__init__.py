# SPDX-License-Identifier: GPL-2.0-only
"""The kernel's own ``mm/damon`` of any tree as an engine: built in user space, run on a machine of this project."""
