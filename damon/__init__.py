# SPDX-License-Identifier: GPL-2.0-only
"""DAMON, Linux's data access monitor and its access-aware operation schemes, in user space.

``import damon`` is cheap: names below load what they need when they are first used.
``docs/how-to/prototyping.md`` is the tour; ``docs/explanation/architecture.md`` has the packages.
"""

from __future__ import annotations

# Every command imports this first, before it has Ctrl-C in hand: nothing is imported here.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

    from damon.core import Damon as Damon
    from damon.core import commit_ctx as commit_ctx
    from damon.core import commit_quota_goals as commit_quota_goals
    from damon.core import commit_scheme_goals as commit_scheme_goals
    from damon.core import set_attrs as set_attrs
    from damon.core import set_regions as set_regions
    from damon.core import system_ram_region as system_ram_region
    from damon.errors import DamonError as DamonError
    from damon.errors import InvalidInput as InvalidInput
    from damon.errors import MissingCapability as MissingCapability
    from damon.library import Aggregation as Aggregation
    from damon.library import Region as Region
    from damon.library import add_memory as add_memory
    from damon.library import add_process as add_process
    from damon.library import aggregations as aggregations
    from damon.library import changes as changes
    from damon.library import open_engine as open_engine
    from damon.library import open_machine as open_machine
    from damon.library import running as running
    from damon.model.arrays import DamonFolio as DamonFolio
    from damon.model.arrays import DamonRegion as DamonRegion
    from damon.model.arrays import FolioArray as FolioArray
    from damon.model.attrs import DamonAttrs as DamonAttrs
    from damon.model.attrs import DamonIntervalsGoal as DamonIntervalsGoal
    from damon.model.context import DamonCallControl as DamonCallControl
    from damon.model.context import DamonCtx as DamonCtx
    from damon.model.context import DamosWalkControl as DamosWalkControl
    from damon.model.custom import DamosCustomAction as DamosCustomAction
    from damon.model.custom import DamosCustomMetric as DamosCustomMetric
    from damon.model.custom import DamosFolioFilter as DamosFolioFilter
    from damon.model.custom import DamosRegionFilter as DamosRegionFilter
    from damon.model.machine import Advice as Advice
    from damon.model.machine import Machine as Machine
    from damon.model.operations import Operations as Operations
    from damon.model.operations import Score as Score
    from damon.model.probe import DamonFilter as DamonFilter
    from damon.model.probe import DamonFilterType as DamonFilterType
    from damon.model.probe import DamonPrep as DamonPrep
    from damon.model.probe import DamonPrepAction as DamonPrepAction
    from damon.model.probe import DamonProbe as DamonProbe
    from damon.model.report import DamonAccessReport as DamonAccessReport
    from damon.model.report import DamonSampleFilter as DamonSampleFilter
    from damon.model.report import DamonSampleFilterType as DamonSampleFilterType
    from damon.model.scheme import Damos as Damos
    from damon.model.scheme import DamosAccessPattern as DamosAccessPattern
    from damon.model.scheme import DamosAction as DamosAction
    from damon.model.scheme import DamosFilter as DamosFilter
    from damon.model.scheme import DamosFilterType as DamosFilterType
    from damon.model.scheme import DamosMigrateDest as DamosMigrateDest
    from damon.model.scheme import DamosQuota as DamosQuota
    from damon.model.scheme import DamosQuotaGoal as DamosQuotaGoal
    from damon.model.scheme import DamosQuotaGoalMetric as DamosQuotaGoalMetric
    from damon.model.scheme import DamosQuotaGoalTuner as DamosQuotaGoalTuner
    from damon.model.scheme import DamosWatermarks as DamosWatermarks
    from damon.model.scheme import DamosWmarkMetric as DamosWmarkMetric
    from damon.model.target import DamonTarget as DamonTarget
    from damon.ops.paddr import Paddr as Paddr
    from damon.ops.reported import ReportedPaddr as ReportedPaddr
    from damon.ops.reported import ReportedVaddr as ReportedVaddr
    from damon.ops.vaddr import Fvaddr as Fvaddr
    from damon.ops.vaddr import Vaddr as Vaddr
    from damon.ops.vaddr import process_space as process_space
    from damon.results.run import Run as Run
    from damon.results.session import Recording as Recording
    from damon.version import __version__ as __version__

_PLACES: Final = {
    "core": "Damon commit_ctx commit_quota_goals commit_scheme_goals set_attrs set_regions system_ram_region",
    "errors": "DamonError InvalidInput MissingCapability",
    "library": "Aggregation Region add_memory add_process aggregations changes open_engine open_machine running",
    "model.arrays": "DamonFolio DamonRegion FolioArray",
    "model.attrs": "DamonAttrs DamonIntervalsGoal",
    "model.context": "DamonCallControl DamonCtx DamosWalkControl",
    "model.custom": "DamosCustomAction DamosCustomMetric DamosFolioFilter DamosRegionFilter",
    "model.machine": "Advice Machine",
    "model.operations": "Operations Score",
    "model.probe": "DamonFilter DamonFilterType DamonPrep DamonPrepAction DamonProbe",
    "model.report": "DamonAccessReport DamonSampleFilter DamonSampleFilterType",
    "model.scheme": "Damos DamosAccessPattern DamosAction DamosFilter DamosFilterType DamosMigrateDest DamosQuota "
    "DamosQuotaGoal DamosQuotaGoalMetric DamosQuotaGoalTuner DamosWatermarks DamosWmarkMetric",
    "model.target": "DamonTarget",
    "ops.paddr": "Paddr",
    "ops.reported": "ReportedPaddr ReportedVaddr",
    "ops.vaddr": "Fvaddr Vaddr process_space",
    "results.run": "Run",
    "results.session": "Recording",
    "version": "__version__",
}
_NAMES: Final = {name: f"damon.{place}" for place, names in _PLACES.items() for name in names.split()}

__all__ = [name for name in _NAMES if name != "__version__"]


def __getattr__(name: str) -> Any:
    place = _NAMES.get(name)
    if place is None:
        raise AttributeError(f"module 'damon' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(place), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_NAMES])
