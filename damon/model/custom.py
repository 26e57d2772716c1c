# SPDX-License-Identifier: GPL-2.0-only
"""Parts of a scheme in plain Python, for prototypes: an action, filters of both layers, a goal's metric.

They stand where the kernel's own stand (``Damos.action``, ``Damos.add_filter()``, ``DamosQuotaGoal.metric``), obey the
same rules and are committed in the same way. What they raise ends the worker, and is in ``DamonCtx.error``; so does a
result that is out of its range (``InvalidInput``, with the function and the value).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from damon.errors import InvalidInput
from damon.model.checks import function, instance, truths

if TYPE_CHECKING:
    from damon.model.arrays import DamonFolio, DamonRegion, FolioArray
    from damon.model.context import DamonCtx
    from damon.model.scheme import Damos
    from damon.model.target import DamonTarget


@dataclass(frozen=True)
class DamosCustomAction:
    """An action. ``value`` is its name, as of the kernel's; one of the two functions is given.

    ``on_region(ctx, target, region)`` acts on a whole region and returns the bytes (core address units) acted on.
    ``on_folios(ctx, folios)`` gets batches of the folios in the region that pass the operations layer's filters
    (those with ``FOLIO_PASS``) and returns the pages that it acted on.
    """

    value: str
    on_region: Callable[[DamonCtx, DamonTarget, DamonRegion], int] | None = None
    on_folios: Callable[[DamonCtx, FolioArray], int] | None = None

    def __post_init__(self) -> None:
        instance("DamosCustomAction.value", self.value, str)
        given = {"on_region": self.on_region, "on_folios": self.on_folios}
        wanted = [name for name, one in given.items() if one is not None]
        if len(wanted) != 1:
            raise InvalidInput(
                f"DamosCustomAction {self.value!r}: {len(wanted)} functions; give on_region or on_folios"
            )
        function(f"DamosCustomAction.{wanted[0]}", given[wanted[0]])


@dataclass
class DamosRegionFilter:
    """A filter of the core layer: a region hits it iff ``bool(test(ctx, target, region)) == matching``."""

    test: Callable[[DamonCtx, DamonTarget, DamonRegion], bool]
    matching: bool = True
    allow: bool = False

    def __post_init__(self) -> None:
        self.check()

    def check(self) -> None:
        """Refuse a test that cannot be called, and truth values that are none (EINVAL)."""
        function("DamosRegionFilter.test", self.test)
        truths(self, "matching", "allow")


@dataclass
class DamosFolioFilter:
    """A filter of the operations layer: a folio hits it iff ``bool(test(folio)) == matching``."""

    test: Callable[[DamonFolio], bool]
    matching: bool = True
    allow: bool = False

    def __post_init__(self) -> None:
        self.check()

    def check(self) -> None:
        """Refuse a test that cannot be called, and truth values that are none (EINVAL)."""
        function("DamosFolioFilter.test", self.test)
        truths(self, "matching", "allow")


@dataclass(frozen=True)
class DamosCustomMetric:
    """A metric of quota goals that measures itself: ``measure(ctx, scheme)`` is the goal's current value."""

    value: str
    measure: Callable[[DamonCtx, Damos], int]

    def __post_init__(self) -> None:
        instance("DamosCustomMetric.value", self.value, str)
        function("DamosCustomMetric.measure", self.measure)
