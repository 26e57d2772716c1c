# SPDX-License-Identifier: GPL-2.0-only
"""Files of monitoring results in damo's form: written while monitoring goes on, with what damo needs beside them; read.

``recorder.py`` turns trace events into snapshots, ``store.py`` is the file that is valid at any time, ``read.py`` reads
every form, ``heatmap.py`` sums up.
"""
