# SPDX-License-Identifier: GPL-2.0-only
"""The command ``damon``: people and scripts enter here. ``main.py`` has the table of commands, each has a file.

``output.py`` prints for people (rich, imported when needed) and writes for machines (JSON).
"""
