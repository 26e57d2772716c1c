# SPDX-License-Identifier: GPL-2.0-only
"""What a run was asked and what came of it over time: one format for each engine and machine.

``tables.py`` has the tables and their columns, ``recorder.py`` fills them while a run goes on, ``directory.py`` and
``memory.py`` keep them, ``run.py`` reads them again.
"""
