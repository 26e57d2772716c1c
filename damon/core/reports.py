# SPDX-License-Identifier: GPL-2.0-only
"""Reports of accesses that wait for the workers which count them (DAMON spec, next 7)."""

from __future__ import annotations

import threading
from collections import deque
from itertools import islice
from typing import Final

from damon.model.report import DamonAccessReport

#: Reports that are kept; the oldest one makes room.
CAPACITY: Final = 1 << 16


class AccessReports:
    """The last ``CAPACITY`` reports, numbered from 1 on.

    Sources may report from any thread. A report is not taken out by who reads it: several workers may count it.
    """

    def __init__(self) -> None:
        self._reports: deque[DamonAccessReport] = deque(maxlen=CAPACITY)
        self._lock = threading.Lock()
        self.nr_reported = 0  #: the number of the last one

    def add(self, report: DamonAccessReport) -> None:
        with self._lock:
            self._reports.append(report)
            self.nr_reported += 1

    def after(self, number: int) -> list[DamonAccessReport]:
        """Those after report ``number``, as far as they are kept, in their order."""
        with self._lock:
            nr = min(self.nr_reported - number, len(self._reports))
            return list(islice(self._reports, len(self._reports) - nr, None))
