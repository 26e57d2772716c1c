# SPDX-License-Identifier: GPL-2.0-only
"""The command ``damon``: the entry for users and scripts. ``main.py`` has the table of commands, each has a file.

``output.py`` prints for users (rich, imported when needed) and writes for machines (JSON).
"""
