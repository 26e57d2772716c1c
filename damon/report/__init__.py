# SPDX-License-Identifier: GPL-2.0-only
"""Pictures and tables of runs: what a run directory has, gathered into parts of bounded size, and the page of them.

``gather.py`` reads a run once, with ``heat.py`` (time x address), ``truth.py``, ``curves.py`` and ``spread.py``.
``page.py`` makes the HTML page, ``picture.py`` SVG and PNG, ``differences.py`` compares runs. Needs the extra
``report``.
"""
