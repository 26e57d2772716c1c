# SPDX-License-Identifier: GPL-2.0-only
"""The running kernel's DAMON as an engine: its sysfs tree and its modules' parameters, left as they were found."""
