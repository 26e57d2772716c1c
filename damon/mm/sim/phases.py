# SPDX-License-Identifier: GPL-2.0-only
"""From a workload's access to the native segment, and the share of sampling intervals in which it touches a page."""

from __future__ import annotations

from damon.mm.sim.arithmetic import exp, log, power_sum
from damon.mm.sim.layout import SimPattern, SimSeg
from damon.model.machine import PAGE_SIZE
from damon.workload.model import Access, Pattern


def segment(access: Access | None, size: int, t0: int) -> SimSeg:
    """How an area of ``size`` bytes is accessed from ``t0`` on. A sequential pass is one with a stride of a page;
    a strided one starts over at the area's first byte when the next offset would be past its end."""
    seg = SimSeg(t0=t0, pattern=SimPattern.NONE)
    if access is None:
        return seg
    nr_pages = size // PAGE_SIZE
    seg.rate = access.rate / 1e9
    seg.write = access.write_share
    if access.pattern in (Pattern.SEQUENTIAL, Pattern.STRIDED):
        seg.pattern = SimPattern.STRIDED
        seg.stride = access.stride if access.pattern is Pattern.STRIDED else PAGE_SIZE
        seg.period = -(-size // seg.stride)
    elif access.pattern is Pattern.RANDOM:
        seg.pattern = SimPattern.RANDOM
        seg.share = 1.0 / nr_pages
    else:
        seg.pattern = SimPattern.ZIPF
        seg.skew = access.skew
        seg.share = 1.0 / power_sum(nr_pages, access.skew)
    return seg


def truth(seg: SimSeg, nr_pages: int, interval_ns: int) -> float:
    """The share of (page, interval) pairs with a touch, for intervals that begin at any moment of the segment."""
    if seg.pattern == SimPattern.NONE:
        return 0.0
    touches = seg.rate * interval_ns
    if seg.pattern == SimPattern.STRIDED:
        return _strided_truth(seg, nr_pages, touches)
    if seg.pattern == SimPattern.RANDOM:
        return 1.0 - exp(-touches * seg.share)
    return _zipf_truth(seg, nr_pages, touches)


def _strided_truth(seg: SimSeg, nr_pages: int, touches: float) -> float:
    """In units of the gap between touches: a page is touched ``burst`` times in a row, then not for the pass's rest."""

    def covered(burst: int) -> float:
        if not burst:
            return 0.0
        return float((burst - 1) * min(touches, 1.0) + min(touches, seg.period - (burst - 1)))

    few = PAGE_SIZE // seg.stride
    more = seg.period - few * nr_pages  # pages with one touch more than the others
    total = covered(few) * (nr_pages - more) + covered(few + 1) * more
    return float(total / (nr_pages * seg.period))


def _zipf_truth(seg: SimSeg, nr_pages: int, touches: float) -> float:
    """The first ranks one by one; the rest, where the share varies slowly, by Simpson's rule on growing blocks."""

    def share(rank: float) -> float:
        return 1.0 - exp(-touches * seg.share * exp(-seg.skew * log(rank)))

    head = min(nr_pages, 2048)
    total = sum(share(float(rank)) for rank in range(1, head + 1))
    low, end = head + 0.5, nr_pages + 0.5  # rank r stands for [r - 1/2, r + 1/2]
    while low < end:
        high = min(low * 1.0625, end)
        total += (high - low) / 6.0 * (share(low) + 4.0 * share((low + high) / 2.0) + share(high))
        low = high
    return total / nr_pages
