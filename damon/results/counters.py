# SPDX-License-Identifier: GPL-2.0-only
"""What the recorder asks of a machine's counters (``damon.mm.sim.counters``, ``damon.results.linux``)."""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

from damon.results.tables import Columns


class MachineCounters(Protocol):
    """The words that the tables of a machine come from."""

    @property
    def words(self) -> Sequence[tuple[int, int]]:
        """Address and number of each part."""

    @property
    def nr(self) -> int:
        """Of all parts."""

    def refresh(self) -> None:
        """Bring the words up to date, where they are copies."""

    def read(self) -> array[int]:
        """The words now."""

    def tables(self, times: Sequence[int], words: array[int], stride: int | None = None) -> Mapping[str, Columns]:
        """The rows of the tables at ``times``, ns; ``stride``: words from copy to copy, None: no others in between."""


@runtime_checkable
class Placing(Protocol):
    """Counters of a machine that knows where areas are in physical memory."""

    def placement(self, time_ns: int) -> Columns:
        """The rows of the table ``placement`` now."""
