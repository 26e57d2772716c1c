# SPDX-License-Identifier: GPL-2.0-only
"""Trace files: recorded accesses of processes, as touches per page in windows of time.

``form.py`` has the format, ``writer.py`` makes files and ``reader.py`` opens them, checked. ``change.py`` cuts, scales
and anonymises. The simulator evaluates them lazily in C (``native/src/sim_trace.c``). All of it is standard library
and C helper.
"""
