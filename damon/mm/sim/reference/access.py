# SPDX-License-Identifier: GPL-2.0-only
"""When pages are touched. Twin of ``sim_access.c``.

Nothing is stepped. The touches of a deterministic pattern are numbered, so when a page had its last one is arithmetic.
Random patterns touch each page as a Poisson process, and such a process has no memory: all that anybody can ever ask of
a page's past is when its *last* touch was. So a page carries ``t_eval``, up to where its past is drawn, and ``t_last``;
whoever asks next draws the last touch in ``(t_eval, now]``, if any, and the answers of all observers fit together,
whenever they ask. The draw is a hash of seed, page and ``t_eval``.
"""

from __future__ import annotations

from damon.mm.sim.layout import (
    BLOCK,
    FILE,
    NEVER,
    PAGE_BITS,
    PG_DIRTY,
    PG_HUGE,
    Draw,
    SimArea,
    SimPage,
    SimPattern,
    SimSeg,
)
from damon.mm.sim.reference.arithmetic import exp, log, power_range, uniform
from damon.mm.sim.state import State


def seg_now(area: SimArea) -> SimSeg:
    """The segment that goes on now."""
    return area.seg[area.nr_seg - 1]  # type: ignore[no-any-return]


def seg_count(seg: SimSeg, t: int) -> int:
    """Touches of a deterministic pattern up to and including time ``t``, counted from the cursor's start."""
    return int(seg.base) + int(float(t - seg.t0) * seg.rate)


def seg_time(seg: SimSeg, k: int) -> int:
    """The time of touch number ``k``: the first ``t`` with ``seg_count(t) > k``."""
    d = float(k + 1 - seg.base) / seg.rate
    if d > 4e18:
        return NEVER
    t = int(seg.t0) + int(d)
    while seg_count(seg, t) > k:
        t -= 1
    while seg_count(seg, t) <= k:
        t += 1
    return t


def _residues(seg: SimSeg, page: int, nr: int) -> tuple[int, int]:
    """Touches of one period that hit a page in ``[page, page + nr)``: from the first to before the last."""
    first = -(-page * 4096 // seg.stride)
    last = -(-(page + nr) * 4096 // seg.stride)
    return first, min(last, seg.period)


def seg_next(seg: SimSeg, page: int, nr: int, since: int) -> int | None:
    """The number of the first touch >= ``since`` that hits a page in ``[page, page + nr)``."""
    first, last = _residues(seg, page, nr)
    turn, at = divmod(since, seg.period)
    if first >= last:
        return None
    if at < last:
        return int(turn * seg.period + max(at, first))
    return int((turn + 1) * seg.period + first)


def _seg_prev(seg: SimSeg, page: int, nr: int, before: int) -> int | None:
    """The number of the last touch < ``before`` that hits a page in ``[page, page + nr)``."""
    first, last = _residues(seg, page, nr)
    if first >= last or not before:
        return None
    turn, at = divmod(before - 1, seg.period)
    if at >= first:
        return int(turn * seg.period + min(at, last - 1))
    return int((turn - 1) * seg.period + last - 1) if turn else None


def seg_weight(seg: SimSeg, index: int) -> float:
    """The share of the area's touches that hit one page (random patterns)."""
    if seg.pattern == SimPattern.RANDOM:
        return float(seg.share)
    return exp(-seg.skew * log(float(index + 1))) * float(seg.share)


def seg_weights(seg: SimSeg, page: int, nr: int) -> float:
    """The share of the area's touches that hit pages ``[page, page + nr)``."""
    if seg.pattern == SimPattern.NONE or not nr:
        return 0.0
    if seg.pattern == SimPattern.RANDOM:
        return float(seg.share * float(nr))
    if seg.pattern == SimPattern.ZIPF:
        return float(power_range(page + 1, page + nr, seg.skew) * seg.share)
    first, last = _residues(seg, page, nr)
    return float(last - first) / float(seg.period) if first < last else 0.0


def _log_no_write(seg: SimSeg, index: int, lo: int, hi: int) -> float:
    """The logarithm of the probability that the touches in ``(lo, hi]`` are all reads."""
    if seg.pattern == SimPattern.NONE or seg.write <= 0.0:
        return 0.0
    if seg.pattern == SimPattern.STRIDED:
        since, to, n = seg_count(seg, lo), seg_count(seg, hi), 0
        while n < 64:
            k = seg_next(seg, index, 1, since)
            if k is None or k >= to:
                break
            since, n = k + 1, n + 1
        if not n:
            return 0.0
        return -1000.0 if seg.write >= 1.0 else n * log(1.0 - seg.write)
    return float(-seg.write * seg_weight(seg, index) * seg.rate * float(hi - lo))


def _written(s: State, area: int, index: int, since: int, t: int, at: int) -> bool:
    """Was one of the touches in ``(since, to]`` a write? The last one happened at ``t`` in segment ``at``."""
    a = s.area.rows[area]
    logp, hi = 0.0, t
    for n in range(at, -1, -1):
        seg = a.seg[n]
        lo = max(since, seg.t0)
        if lo < hi:
            logp += _log_no_write(seg, index, lo, hi)
        hi = seg.t0
        if seg.t0 <= since:
            break
    last = 1.0 if a.seg[at].pattern == SimPattern.STRIDED else 1.0 - a.seg[at].write
    return uniform(s.m.seed, area << PAGE_BITS | index, since, Draw.WRITE) > exp(logp) * last


def _last_touch(s: State, area: int, index: int, nr: int, since: int, to: int) -> tuple[int, int] | None:
    """The last touch of a folio's pages in ``(since, to]`` and its segment.

    One exponential, spent backwards through the segments, decides all the random ones.
    """
    a = s.area.rows[area]
    left = -1.0
    for n in range(a.nr_seg - 1, -1, -1):
        seg = a.seg[n]
        lo = max(since, seg.t0)
        if lo < to and seg.pattern == SimPattern.STRIDED:
            k = _seg_prev(seg, index, nr, seg_count(seg, to))
            if k is not None and k >= seg_count(seg, lo):
                return seg_time(seg, k), n
        elif lo < to and seg.pattern != SimPattern.NONE:
            weight = seg_weight(seg, index) if nr == 1 else seg_weights(seg, index, nr)
            rate = weight * seg.rate
            mean = rate * float(to - lo)
            if left < 0.0:
                u = uniform(s.m.seed, area << PAGE_BITS | index, since, Draw.TOUCH)
                if seg.t0 <= since and mean < 1.0 - u:  # -log(u) >= 1 - u: the usual miss needs no logarithm
                    return None
                left = -log(u)
            if left < mean:
                return max(to - int(left / rate), lo + 1), n
            left -= mean
        if seg.t0 <= since:
            break
        to = seg.t0
    return None


def page_advance(s: State, area: int, index: int, p: SimPage, now: int) -> None:
    """Bring the page's history up to ``now``."""
    if p.t_eval >= now:
        return
    found = _last_touch(s, area, index, BLOCK if p.flags & PG_HUGE else 1, p.t_eval, now)
    if found is not None:
        p.t_last, at = found
        if (
            s.area.rows[area].kind == FILE
            and not p.flags & PG_DIRTY
            and _written(s, area, index, p.t_eval, p.t_last, at)
        ):
            p.flags |= PG_DIRTY
    p.t_eval = now
