# SPDX-License-Identifier: GPL-2.0-only
"""Filters of the operations layer on a batch of folios (DAMON spec, damos 7.2).

The first filter that a folio hits decides; without a hit the scheme's default does. Each step is one native call over
the batch; ``Reference`` is its plain Python twin.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from ctypes import c_int, c_uint32, c_uint64, c_void_p
from typing import Final

from damon.model.arrays import (
    FOLIO_ACTIVE,
    FOLIO_ANON,
    FOLIO_DECIDED,
    FOLIO_MAPPED,
    FOLIO_PASS,
    FOLIO_YOUNG,
    DamonFolio,
    FolioArray,
)
from damon.model.checks import called, truth
from damon.model.custom import DamosFolioFilter
from damon.model.machine import PAGE_SIZE, FolioSpace
from damon.model.scheme import DamosFilter, DamosFilterType
from damon.native import bind

_begin = bind("folio_filter_begin", None, c_void_p, c_uint32)
_step = bind("folio_filter_step", None, c_void_p, c_uint32, c_int, c_uint64, c_uint64, c_int, c_int)
_end = bind("folio_filter_end", c_uint64, c_void_p, c_uint32, c_int)


class _Test(enum.IntEnum):
    """``enum folio_test`` of the C side."""

    FLAG = 0
    NOT_FLAG = 1
    MEMCG = 2
    SIZE = 3


_FLAG_TESTS: Final = {
    DamosFilterType.ANON: (_Test.FLAG, FOLIO_ANON),
    DamosFilterType.ACTIVE: (_Test.FLAG, FOLIO_ACTIVE),
    DamosFilterType.YOUNG: (_Test.FLAG, FOLIO_YOUNG),
    DamosFilterType.UNMAPPED: (_Test.NOT_FLAG, FOLIO_MAPPED),
}


def _test_of(wanted: DamosFilter) -> tuple[_Test, int, int]:
    if wanted.type is DamosFilterType.MEMCG:
        return _Test.MEMCG, wanted.memcg_id, 0
    if wanted.type is DamosFilterType.HUGEPAGE_SIZE:
        return _Test.SIZE, wanted.sz_min, wanted.sz_max
    test, flag = _FLAG_TESTS[wanted.type]
    return test, flag, 0


class Native:
    """The three steps, in C."""

    @staticmethod
    def begin(folios: FolioArray) -> None:
        _begin(folios.pointer, folios.nr)

    @staticmethod
    def step(folios: FolioArray, wanted: DamosFilter) -> None:
        test, low, high = _test_of(wanted)
        _step(folios.pointer, folios.nr, test, low, high, wanted.matching, wanted.allow)

    @staticmethod
    def end(folios: FolioArray, reject: bool) -> int:
        return int(_end(folios.pointer, folios.nr, reject))


class Reference:
    """The same in plain Python."""

    @staticmethod
    def begin(folios: FolioArray) -> None:
        for folio in folios:
            folio.flags &= ~(FOLIO_YOUNG | FOLIO_DECIDED | FOLIO_PASS)

    @staticmethod
    def _hits(folio: DamonFolio, wanted: DamosFilter) -> bool:
        test, low, high = _test_of(wanted)
        if test is _Test.FLAG:
            return bool(folio.flags & low)
        if test is _Test.NOT_FLAG:
            return not folio.flags & low
        if test is _Test.MEMCG:
            return folio.memcg != 0 and folio.memcg == low
        return low <= folio.nr_pages * PAGE_SIZE <= high

    @classmethod
    def step(cls, folios: FolioArray, wanted: DamosFilter) -> None:
        for folio in folios:
            if not folio.flags & FOLIO_DECIDED and cls._hits(folio, wanted) == wanted.matching:
                folio.flags |= FOLIO_DECIDED | (FOLIO_PASS if wanted.allow else 0)

    @staticmethod
    def end(folios: FolioArray, reject: bool) -> int:
        for folio in folios:
            if not folio.flags & FOLIO_DECIDED and not reject:
                folio.flags |= FOLIO_PASS
        return sum(folio.nr_pages for folio in folios if folio.flags & FOLIO_PASS)


def _custom_step(folios: FolioArray, wanted: DamosFolioFilter) -> None:
    """Decide the still undecided folios that hit a filter of the user's own."""
    what = called("folio filter", wanted.test)
    for folio in folios:
        if not folio.flags & FOLIO_DECIDED and truth(what, wanted.test(folio)) == wanted.matching:
            folio.flags |= FOLIO_DECIDED | (FOLIO_PASS if wanted.allow else 0)


def filter_folios(
    space: FolioSpace,
    folios: FolioArray,
    filters: Sequence[DamosFilter | DamosFolioFilter],
    default_reject: bool,
    steps: type[Native] | type[Reference] = Native,
) -> int:
    """Set ``FOLIO_PASS`` on the folios that pass ``filters``; the number of pages of those.

    A ``young`` filter asks the machine about folios that no earlier filter decided, and makes the accessed ones old.
    """
    steps.begin(folios)
    for wanted in filters:
        if isinstance(wanted, DamosFolioFilter):
            _custom_step(folios, wanted)
            continue
        if wanted.type is DamosFilterType.YOUNG:
            space.folios_young(folios)
            space.folios_mkold(folios)
        steps.step(folios, wanted)
    return steps.end(folios, default_reject)
