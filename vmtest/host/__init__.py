# SPDX-License-Identifier: GPL-2.0-only
"""The machine that runs the guests: what it can do, its clock, its root file system as a guest's."""
