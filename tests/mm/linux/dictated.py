# SPDX-License-Identifier: GPL-2.0-only
"""Physical memory that a test dictates, block by block, and what the C routines have to find in it."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from random import Random

from hypothesis import Phase

from damon.model.arrays import FOLIO_ACTIVE, FOLIO_ANON, FOLIO_MAPPED, FOLIO_UNEVICTABLE
from tests.page_flags import (
    KPF_ACTIVE,
    KPF_ANON,
    KPF_COMPOUND_HEAD,
    KPF_COMPOUND_TAIL,
    KPF_FOREIGN,
    KPF_HUGE,
    KPF_IDLE,
    KPF_LRU,
    KPF_MMAP,
    KPF_NOPAGE,
    KPF_OFFLINE,
    KPF_RESERVED,
    KPF_SLAB,
    KPF_UNEVICTABLE,
    KPF_UPTODATE,
    KPF_ZERO_PAGE,
)

#: Without making an example smaller: a seed says nothing, and files for memory are slow.
PHASES = (Phase.explicit, Phase.reuse, Phase.generate)
ANON = KPF_LRU | KPF_MMAP | KPF_ANON
KINDS = [
    0,
    KPF_NOPAGE,
    KPF_SLAB,
    KPF_RESERVED,
    KPF_ZERO_PAGE | KPF_MMAP,
    KPF_UPTODATE,
    KPF_MMAP | KPF_ANON,
    KPF_MMAP | KPF_ANON | KPF_IDLE,
    KPF_LRU | KPF_UPTODATE,
    *[ANON] * 6,
    KPF_LRU | KPF_MMAP | KPF_ACTIVE,
    KPF_LRU | KPF_MMAP | KPF_UNEVICTABLE,
]


@dataclass(frozen=True)
class Block:
    """A page, or a compound page: where it is, the flags of its first page, those that its tails repeat."""

    pfn: int
    order: int
    of: int
    tails: int

    @property
    def nr(self) -> int:
        return 1 << self.order

    @property
    def end(self) -> int:
        return self.pfn + self.nr

    @property
    def folio(self) -> bool:
        """Is it a folio on a LRU list that idle page tracking knows?"""
        return bool(self.of & KPF_LRU) and not self.of & KPF_FOREIGN

    @property
    def flags(self) -> int:
        """``DamonFolio.flags`` as the first page has them."""
        pairs = (
            (KPF_ANON, FOLIO_ANON), (KPF_ACTIVE, FOLIO_ACTIVE), (KPF_MMAP, FOLIO_MAPPED),
            (KPF_UNEVICTABLE, FOLIO_UNEVICTABLE),
        )  # fmt: skip
        return sum(flag for bit, flag in pairs if self.of & bit)

    def entries(self) -> list[int]:
        """Its part of kpageflags."""
        if not self.order:
            return [self.of]
        huge = self.of & KPF_HUGE
        return [self.of | KPF_COMPOUND_HEAD, *[self.tails | huge | KPF_COMPOUND_TAIL] * (self.nr - 1)]


def memory(rnd: Random) -> list[Block]:
    """Up to 192 page frames: pages and naturally aligned compound pages."""
    blocks: list[Block] = []
    at, end = 0, 16 * rnd.randint(1, 12)
    while at < end:
        order = rnd.randint(0, 4)
        while at % (1 << order):
            order -= 1
        of = rnd.choice(KINDS)
        huge = (KPF_HUGE if order else KPF_OFFLINE) if not rnd.randrange(6) else 0
        blocks.append(Block(at, order, of | huge, of if rnd.random() < 0.5 else rnd.choice([0, KPF_MMAP])))
        at = blocks[-1].end
    return blocks


def page_flags(blocks: list[Block]) -> list[int]:
    return [entry for block in blocks for entry in block.entries()]


def folio_at(blocks: list[Block], pfn: int) -> Block | None:
    """The folio that the page frame belongs to."""
    found = blocks[bisect_right(blocks, pfn, key=lambda block: block.pfn) - 1]
    return found if pfn < found.end and found.folio else None
