# SPDX-License-Identifier: GPL-2.0-only
"""The kernel's own C beside ``damon.core``: random contexts and schedules on the same dictated memory, bit for bit."""
