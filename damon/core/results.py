# SPDX-License-Identifier: GPL-2.0-only
"""Results of aggregation intervals, kept for a reader that comes later: counters, statistics, regions.

They are kept as words of 64 bits, by C where it ends an aggregation (``native/src/results.c``), here otherwise. The
reader gets many at once. So a recorded run takes little longer than another.
"""

from __future__ import annotations

import ctypes
import enum
import threading
from array import array
from collections.abc import Callable, Iterator, Sequence
from ctypes import c_int64, c_uint64, c_void_p
from dataclasses import dataclass
from typing import Final

from damon.core.trace import scheme_position
from damon.model.context import DamonCtx
from damon.model.scheme import Damos
from damon.model.target import DamonTarget
from damon.native import bind
from damon.native.layout import shared

_new = bind("damon_regions_new", c_uint64, c_void_p, c_uint64, c_void_p, c_uint64, c_uint64, c_void_p)
#: Words of regions and counters that wait for their reader at most.
CAPACITY: Final = 1 << 17
_WORD: Final = (1 << 64) - 1


class Head(enum.IntEnum):
    """``enum damon_result_word``: the words that a result begins with. Times in ns and us, sizes in bytes."""

    LENGTH = 0
    TIME = 1
    PASSED = 2
    SAMPLE_US = 3
    AGGR_US = 4
    MAX_NR_ACCESSES = 5
    NR_REGIONS = 6
    ACCESSED = 7
    NR_SCHEMES = 8
    NR_TARGETS = 9


HEAD: Final = len(Head)
#: ``enum damon_result_scheme``: the words of each scheme.
SCHEME: Final = (
    *("nr_tried", "sz_tried", "nr_applied", "sz_applied", "sz_ops_filter_passed", "qt_exceeds", "nr_snapshots"),
    *("esz", "charged_sz", "min_score", "active"),
)
#: ``enum damon_result_act``: the words of each attempt of a scheme; time in ns, addresses the core's, bytes applied.
ACT: Final = ("time_ns", "scheme", "target", "start", "end", "applied_bytes")
#: The words of each region.
REGION: Final = ("start", "end", "nr_accesses", "age")


@shared("damon_words")
class Words(ctypes.Structure):
    """``struct damon_words``: ``nr`` words of 64 bits at an address, which are kept with each result."""

    _fields_ = (("at", c_void_p), ("nr", c_uint64))


@shared("damon_results")
class _Results(ctypes.Structure):
    _fields_ = (
        ("words", c_void_p),
        *((name, c_uint64) for name in ("capacity", "used")),
        ("beside", c_void_p),
        ("nr_beside", c_uint64),
        *((name, c_int64) for name in ("every", "next")),
        *((name, c_uint64) for name in ("regions", "last", "sample_us", "aggr_us", "max_nr_accesses")),
        ("acts", c_void_p),
        *((name, c_uint64) for name in ("act_capacity", "act_used")),
    )


@dataclass(frozen=True)
class Result:
    """One result, as it was kept."""

    head: Sequence[int]  #: by ``Head``
    schemes: Sequence[Sequence[int]]  #: by the order of ``SCHEME``
    regions: Sequence[array[int]]  #: of each target, ``REGION`` after ``REGION``; empty where they are not kept
    beside: array[int]  #: the words beside it


class ResultsLog:
    """The results of one context, for ``DamonCtx.results``; set it before its worker starts.

    Args:
        reader: gets the words of many results (``split()``) in the worker's thread, or that of ``flush()``.
        beside: addresses and numbers of words that are kept with each result; they must outlive the log.
        every_ns: of the machine's clock: keep one result in each such interval at most; 0: each.
        regions: keep the regions, too.
        capacity: words that wait for ``reader`` at most, unless one result has more.
        fresh_ns: of the machine's clock: the reader waits for no longer, where Python ends aggregations; 0: no limit.
        also: called before each result that Python keeps, with the time in ns: what C leaves as it is can be noted
            then, and words that are no counters brought up to date.
        acts: gets the words of many attempts of schemes (``ACT``), as ``reader`` does; None: they are not kept.
    """

    def __init__(
        self,
        reader: Callable[[array[int]], None],
        beside: Sequence[tuple[int, int]] = (),
        *,
        every_ns: int = 0,
        regions: bool = False,
        capacity: int = CAPACITY,
        fresh_ns: int = 0,
        also: Callable[[DamonCtx, int], None] | None = None,
        acts: Callable[[array[int]], None] | None = None,
    ) -> None:
        self._reader, self._beside, self._also, self._act_reader = reader, tuple(beside), also, acts
        self._native = _Results(every=every_ns, regions=regions, last=_WORD)
        self._words_beside = (Words * len(self._beside))(*(Words(at, nr) for at, nr in self._beside))
        self._native.beside, self._native.nr_beside = ctypes.addressof(self._words_beside), len(self._beside)
        self._fresh_ns, self._read_ns = fresh_ns, 0
        self._lock = threading.Lock()
        self._reserve(capacity)
        self.acts = acts is not None  #: are attempts kept?
        if self.acts:
            self._acts = (c_uint64 * capacity)()
            self._native.acts, self._native.act_capacity = ctypes.addressof(self._acts), capacity

    def _reserve(self, capacity: int) -> None:
        self._words = (c_uint64 * capacity)()
        self._native.words, self._native.capacity = ctypes.addressof(self._words), capacity

    def prepare(self, ctx: DamonCtx) -> int:
        """The address of the native record, for aggregations that C ends."""
        native, attrs = self._native, ctx.attrs
        if 2 * native.act_used > native.act_capacity:  # C keeps none without space for those of a whole pass
            self.flush()
        native.sample_us, native.aggr_us = attrs.sample_interval, attrs.aggr_interval
        native.max_nr_accesses = attrs.max_nr_accesses()
        return ctypes.addressof(native)

    def keep(self, ctx: DamonCtx, *, force: bool = False) -> None:
        """Keep what there is now, unless it was kept, or (without ``force``) it is not time for it."""
        native, now = self._native, ctx.machine.clock.now_ns()
        passed = ctx.passed_sample_intervals
        aggregated = not force and passed >= ctx.next_aggregation_sis
        if not force and (now < native.next or (aggregated and passed == native.last)):
            return
        if self._also is not None:
            self._also(ctx, now)
        words = self._result(ctx, now, regions=bool(native.regions) and aggregated)
        with self._lock:
            if len(words) > native.capacity - native.used:
                self._read()
            if len(words) > native.capacity:
                self._reserve(len(words))
            ctypes.memmove(native.words + 8 * native.used, words.buffer_info()[0], 8 * len(words))
            native.used += len(words)
            native.last = passed if aggregated else _WORD
            native.next = (now // native.every + 1) * native.every if native.every else 0
            if self._fresh_ns and now - self._read_ns >= self._fresh_ns:
                self._read_ns = now
                self._read()

    def act(self, ctx: DamonCtx, scheme: Damos, target: DamonTarget, act: tuple[int, int, int], applied: int) -> None:
        """Keep an attempt of ``scheme``, at a time (ns) on a range (start, end), which applied to so many bytes."""
        native, (now, start, end) = self._native, act
        words = array("Q", (now, scheme_position(ctx, scheme), ctx.targets.index(target), start, end, applied))
        with self._lock:
            if len(words) > native.act_capacity - native.act_used:
                self._read()
            ctypes.memmove(native.acts + 8 * native.act_used, words.buffer_info()[0], 8 * len(words))
            native.act_used += len(words)

    def _result(self, ctx: DamonCtx, now: int, *, regions: bool) -> array[int]:
        attrs, targets = ctx.attrs, ctx.targets
        accessed = sum(row.size for target in targets for row in target.regions if row.nr_accesses) * ctx.addr_unit
        words = array(
            "Q",
            (
                0, now, ctx.passed_sample_intervals, attrs.sample_interval, attrs.aggr_interval,
                attrs.max_nr_accesses(), ctx.nr_regions(), accessed, len(ctx.schemes), len(targets),
            ),
        )  # fmt: skip
        for scheme in ctx.schemes:
            words.extend(min(value, _WORD) for value in scheme_words(scheme))
        words.extend(target.regions.nr if regions else 0 for target in targets)
        for target in targets if regions else ():
            words.extend(value for row in target.regions for value in (row.start, row.end, row.nr_accesses, row.age))
        for at, nr in self._beside:
            words.frombytes(ctypes.string_at(at, 8 * nr))
        words[Head.LENGTH] = len(words)
        return words

    def _read(self) -> None:
        native = self._native
        words, acts = _words_at(native.words, native.used), _words_at(native.acts, native.act_used)
        native.used = native.act_used = 0
        if words:
            self._reader(words)
        if acts and self._act_reader is not None:
            self._act_reader(acts)

    def flush(self) -> None:
        """Give the reader all that waits; not while the worker runs on a simulated machine."""
        with self._lock:
            self._read()


def _words_at(address: int | None, nr: int) -> array[int]:
    words = array("Q")
    if address is not None and nr:
        words.frombytes(ctypes.string_at(address, 8 * nr))
    return words


def scheme_words(scheme: Damos) -> tuple[int, ...]:
    """The words of ``scheme``, in the order of ``SCHEME``."""
    stat, quota = scheme.stat, scheme.quota
    return (
        stat.nr_tried, stat.sz_tried, stat.nr_applied, stat.sz_applied, stat.sz_ops_filter_passed, stat.qt_exceeds,
        stat.nr_snapshots, quota.esz, quota.charged_sz, quota.min_score, scheme.wmarks.activated,
    )  # fmt: skip


def split(words: array[int]) -> Iterator[Result]:
    """The results in ``words``, in order."""
    at = 0
    while at < len(words):
        end = at + words[at]
        head = words[at : at + HEAD]
        at += HEAD
        schemes = []
        for _ in range(head[Head.NR_SCHEMES]):
            schemes.append(words[at : at + len(SCHEME)])
            at += len(SCHEME)
        counts = words[at : at + head[Head.NR_TARGETS]]
        at += len(counts)
        regions = []
        for nr in counts:
            regions.append(words[at : at + nr * len(REGION)])
            at += nr * len(REGION)
        yield Result(head, schemes, regions, words[at:end])
        at = end


def new_regions(before: array[int], now: array[int], older: int) -> array[int] | None:
    """The regions of ``now`` that are not those of ``before``, but for being ``older`` aggregations older.

    None: they lie in other ranges. Both have the words of ``REGION`` of each.
    """
    width = len(REGION)
    found = array("Q", now)
    nr = _new(
        before.buffer_info()[0], len(before) // width, now.buffer_info()[0], len(now) // width, older,
        found.buffer_info()[0],
    )  # fmt: skip
    if nr == _WORD:
        return None
    del found[nr * width :]
    return found
