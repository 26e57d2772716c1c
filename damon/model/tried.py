# SPDX-License-Identifier: GPL-2.0-only
"""What a scheme's pass found of one region: ``tried_regions`` of the sysfs tree."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Tried:
    """``[start, end)`` in core address units; ``sz_filter_passed`` bytes of it passed the operations layer's filters.

    ``nr_accesses`` counts samples of an aggregation interval, ``age`` aggregations, ``probe_hits`` has one a probe.
    """

    start: int
    end: int
    nr_accesses: int
    age: int
    sz_filter_passed: int = 0
    probe_hits: tuple[int, ...] = ()
