# SPDX-License-Identifier: GPL-2.0-only
"""Files of monitoring results in damo's form: writing while monitoring goes on, reading, and what damo wants beside them.

``recorder.py`` turns trace events into snapshots, ``store.py`` is the file that is valid at any time, ``read.py`` reads
every form, ``heatmap.py`` sums up.
"""
