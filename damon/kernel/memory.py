# SPDX-License-Identifier: GPL-2.0-only
"""What the kernel's code asks of the machine beside operations sets: free memory, nodes, cgroups, pressure, folios."""

from __future__ import annotations

import bisect
from collections.abc import Callable, Sequence
from typing import Any, Final

from damon.model.machine import PAGE_SHIFT, Machine

NONE: Final = (1 << 64) - 1
(FREE_PAGES, TOTAL_PAGES, LRU, NODE_TOTAL, NODE_FREE, MEMCG_PAGES, PSI_NS, NODE_START, NODE_END) = range(9)
_ACTIVE: Final = (1, 3)  # of enum lru_list


class Memory:
    """Answers for ``machine``."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._spans: Sequence[tuple[int, int, int]] = ()

    def query(self, what: int, a: int, b: int) -> int:
        """``enum shim_query`` (``shim/shim.h``); all ones where there is no such node or cgroup."""
        return self._answers[what](self, a, b)

    def _node(self, nid: int) -> tuple[int, int] | None:
        return self._machine.node_mem(nid) if nid < 1 << 31 and self._machine.node_spans() else None

    def _node_total(self, nid: int, _: int) -> int:
        node = self._node(nid)
        return node[1] if node is not None else NONE

    def _node_free(self, nid: int, _: int) -> int:
        node = self._node(nid)
        return node[0] if node is not None else NONE

    def _node_edge(self, nid: int, edge: int) -> int:
        """Its first page frame, or with ``edge`` 1 the one behind its last."""
        spans = [span for span in self._machine.node_spans() if span[2] == nid]
        return spans[-edge][edge] >> PAGE_SHIFT if spans else NONE

    def _memcg(self, memcg: int, nid: int) -> int:
        pages = self._machine.node_memcg_pages(nid, memcg)
        return NONE if pages is None else pages

    def _lru(self, item: int, _: int) -> int:
        """Anonymous and file lists together are reported as the anonymous ones."""
        active, inactive = self._machine.lru_pages()
        return {0: inactive, 1: active}.get(item, 0)

    _answers: Final[dict[int, Callable[[Any, int, int], int]]] = {
        FREE_PAGES: lambda self, a, b: self._machine.free_mem()[0],
        TOTAL_PAGES: lambda self, a, b: self._machine.free_mem()[1],
        LRU: _lru,
        NODE_TOTAL: _node_total,
        NODE_FREE: _node_free,
        MEMCG_PAGES: _memcg,
        NODE_START: lambda self, nid, b: self._node_edge(nid, 0),
        NODE_END: lambda self, nid, b: self._node_edge(nid, 1),
        PSI_NS: lambda self, a, b: self._machine.psi_some_us() * 1000,
    }

    def ram(self, index: int, start: Any, end: Any) -> int:
        """The System RAM resource ``index``; its end is the last byte, as in the kernel."""
        ranges = self._machine.system_ram()
        if index >= len(ranges):
            return 0
        start[0], end[0] = ranges[index][0], ranges[index][1] - 1
        return 1

    def folios(self, pfn: int, rows: Any, nr: int) -> int:
        """The first folios on LRU lists from page frame ``pfn`` on: frame, pages, node of each."""
        end = max((end for _, end in self._machine.system_ram()), default=0)
        spans = self._machine.node_spans()
        starts = [start for start, _, _ in spans]
        count = 0
        for batch in self._machine.phys.folios(pfn << PAGE_SHIFT, end):
            for folio in batch:
                if count == nr:
                    return count
                place = bisect.bisect_right(starts, folio.pfn << PAGE_SHIFT) - 1
                rows[3 * count], rows[3 * count + 1] = folio.pfn, folio.nr_pages
                rows[3 * count + 2] = spans[place][2] if place >= 0 else 0
                count += 1
            if count == nr:
                return count
        return count
