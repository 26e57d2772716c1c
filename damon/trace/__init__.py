# SPDX-License-Identifier: GPL-2.0-only
"""Trace events outside of the process that makes them: text forms, the stream and its client, the ``perf`` stand-in.

``server.py`` sends the tracepoints of a ``Damon`` to each client of a Unix socket; ``client.py``, ``perf.py`` and
``install.py`` load nothing of DAMON, so that they start fast.
"""
