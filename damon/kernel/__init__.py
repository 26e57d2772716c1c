# SPDX-License-Identifier: GPL-2.0-only
"""The kernel's own mm/damon of any tree, built for user space and run on the simulated machine."""
