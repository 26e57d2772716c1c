# SPDX-License-Identifier: GPL-2.0-only
"""The interface between the core and an address space: the kernel's ``struct damon_operations`` (DAMON spec, ops)."""

from __future__ import annotations

import enum
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from damon.model.arrays import DamonRegion
from damon.model.context import DamonCtx
from damon.model.scheme import Damos
from damon.model.target import DamonTarget


@dataclass(frozen=True, slots=True)
class Stretch:
    """When a worker has something else to do than to sample.

    ``due_ns``: after the first sample that ends at this time or later. ``free_low``, ``free_high``: after the first one
    at whose end the machine's free pages are not within these bounds. ``boundary``: the address of a ``struct
    damon_boundary``, which decides what to do after that many samples; None: Python decides.
    """

    due_ns: int
    free_low: int
    free_high: int
    boundary: int | None = None


class Score(enum.IntEnum):
    """How a scheme's regions are prioritized under its quota. ``CUSTOM`` asks ``get_scheme_score`` for each region."""

    MAX = 0  #: all alike, 99
    HOT = 1
    COLD = 2
    CUSTOM = 3


class Operations(ABC):
    """One operations set. Instances hold no state of a context; everything is in ``ctx`` and its targets.

    A new address space is a subclass that implements ``prepare_access_checks`` and ``check_accesses``;
    the rest has defaults.
    """

    id: ClassVar[str]
    #: Targets are processes, given by pid.
    has_pid: ClassVar[bool] = False

    def init(self, ctx: DamonCtx) -> None:
        """Once, when the worker starts."""

    def update(self, ctx: DamonCtx) -> None:
        """Every operations update interval: follow changes of the address spaces."""

    @abstractmethod
    def prepare_access_checks(self, ctx: DamonCtx) -> None:
        """Pick a sampling address in each region and make the page there old."""

    @abstractmethod
    def check_accesses(self, ctx: DamonCtx) -> int:
        """Count the regions whose sampled page was accessed since; the highest ``nr_accesses`` of all regions."""

    def sample_ahead(self, ctx: DamonCtx, nr: int, stretch: Stretch) -> tuple[int, int]:
        """Up to ``nr`` sampling intervals at once: how many there were, and what ``check_accesses`` returns after the
        last.

        The same as ``prepare_access_checks``, a sleep and ``check_accesses`` for each of them. It ends early when
        something else is due (``stretch``). ``(0, 0)``: none; the worker then goes through one step by step. A set
        need not have it.
        """
        return 0, 0

    def prep_probes(self, ctx: DamonCtx, set_samples: bool) -> None:
        """Carry out the preparations of ``ctx.probes`` on each region's sampled page, before the interval.

        Args:
            set_samples: pick the sampling addresses, as no access check does (only attributes are monitored).
        """

    def apply_probes(self, ctx: DamonCtx, set_samples: bool, return_max_wsum: bool) -> int:
        """Count for each region which of ``ctx.probes`` its sampled page passes.

        Args:
            set_samples: pick the sampling addresses, as neither an access check nor ``prep_probes`` did.
            return_max_wsum: return the highest weighted sum of hits of all regions; else 0.
        """
        return 0

    @property
    def scores(self) -> bool:
        """Does this set prioritize regions? Then a quota looks at them, also where a scheme scores all alike."""
        return type(self).score is not Operations.score

    def score(self, scheme: Damos) -> Score:
        """The kind of priority score for ``scheme``'s regions."""
        return Score.MAX

    def get_scheme_score(self, ctx: DamonCtx, region: DamonRegion, scheme: Damos) -> int:
        """0..99; asked only when ``score`` is ``CUSTOM``."""
        return 99

    def idle_where_empty(self, scheme: Damos) -> bool:
        """Does ``apply_scheme`` do nothing, and in no time, with a region without folios? Then it need not be asked.

        The result of ``sample_ahead`` samples where there are none.
        """
        return False

    def apply_scheme(self, ctx: DamonCtx, target: DamonTarget, region: DamonRegion, scheme: Damos) -> tuple[int, int]:
        """Act on ``region``: bytes acted on, and bytes that passed the operations layer's filters."""
        return 0, 0

    @property
    def checks_targets(self) -> bool:
        """Does this set check which targets are valid? Then a worker ends when none is, or there is none."""
        return type(self).target_valid is not Operations.target_valid

    def target_valid(self, target: DamonTarget) -> bool:
        """False once ``target`` can't be monitored any more; a worker ends when none of its targets is valid."""
        return True

    def cleanup_target(self, target: DamonTarget) -> None:
        """Release what ``target`` holds."""
