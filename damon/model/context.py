# SPDX-License-Identifier: GPL-2.0-only
"""The monitoring context (DAMON spec, core 2.1) and the requests that its worker takes (3.8)."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol, cast

from damon.model import html
from damon.model.attrs import DamonAttrs
from damon.model.clock import Event, Thread
from damon.model.level import Level
from damon.model.probe import DamonProbe
from damon.model.random import Random
from damon.model.scheme import Damos, DamosQuota
from damon.model.target import DamonTarget

if TYPE_CHECKING:
    from damon.model.arrays import DamonRegion
    from damon.model.machine import Machine
    from damon.model.operations import Operations

DAMON_MIN_REGION_SZ: Final = 4096
_SHOWN: Final = ("sample_interval", "aggr_interval", "ops_update_interval", "min_nr_regions", "max_nr_regions")
#: A time that never comes.
NEVER: Final = 2**63 - 1


# Set before a request is posted, or a worker starts.
_NOT_POSTED: Final = cast(Event, None)
_NO_MACHINE: Final = cast("Machine", None)
_NOT_SELECTED: Final = cast("Operations", None)


class Tracepoints(Protocol):
    """Subscribers of what happens."""

    @property
    def points(self) -> Mapping[str, Sequence[object]]:
        """Subscribers by the event's name."""

    def enabled(self, name: str) -> bool: ...


class Results(Protocol):
    """Where results are kept for a reader that comes later: ``core.results.ResultsLog``."""

    acts: bool  #: are attempts of schemes kept?

    def act(self, ctx: DamonCtx, scheme: Damos, target: DamonTarget, act: tuple[int, int, int], applied: int) -> None:
        """Keep an attempt of ``scheme``, at a time (ns) on a range (start, end), which applied to so many bytes."""

    def keep(self, ctx: DamonCtx) -> None:
        """Keep the results of the aggregation that has just ended, or that none ends while the worker waits."""

    def prepare(self, ctx: DamonCtx) -> int:
        """The address of the native record, for aggregations that C ends."""


class Engine(Protocol):
    """Another engine than ``damon.core``."""

    def commit(self, ctx: DamonCtx, src: DamonCtx) -> None:
        """Take everything of ``src``."""

    def commit_goals(self, ctx: DamonCtx, index: int, src: DamosQuota) -> None:
        """Take the goals of ``src`` for the scheme of this number."""


@dataclass(eq=False)
class DamonCallControl:
    """A function to run in the worker between two samplings. ``fn`` returns nothing and may raise OSError.

    ``repeat``: run in every iteration until the worker ends; the caller does not wait. A worker that is asked in every
    iteration can do nothing in one go, so report when there is nothing to do, where that is known:

    ``results_only``: but when an aggregation ends, schemes are due, or the worker waits.
    ``actions_only``: but before schemes act on a region, or while the worker waits; now and then more often.
    ``due_ns``: before this time of the machine's clock; ``fn`` may move it on.
    """

    fn: Callable[[DamonCtx], None]
    repeat: bool = False
    results_only: bool = False
    actions_only: bool = False
    due_ns: int = 0
    canceled: bool = False
    error: BaseException | None = None
    done: Event = _NOT_POSTED  #: set when it ran; made when it is posted


@dataclass(eq=False)
class DamosWalkControl:
    """``fn(ctx, target, region, scheme, sz_filter_passed)`` for each region of each scheme's next pass."""

    fn: Callable[[DamonCtx, DamonTarget, DamonRegion, Damos, int], None]
    canceled: bool = False
    done: Event = _NOT_POSTED


@dataclass(eq=False)
class DamonCtx:
    """What one kdamond monitors and does. ``machine`` is the memory that it works on, ``ops`` the operations set, to
    be selected before the start."""

    machine: Machine = _NO_MACHINE
    ops: Operations = _NOT_SELECTED
    attrs: DamonAttrs = field(default_factory=DamonAttrs)
    targets: list[DamonTarget] = field(default_factory=list)
    schemes: list[Damos] = field(default_factory=list)
    addr_unit: int = 1
    min_region_sz: int = DAMON_MIN_REGION_SZ
    probes: list[DamonProbe] = field(default_factory=list)  #: at most ``MAX_PROBES``
    level: Level = Level.V7_3  #: what it may use; ``Damon`` sets its own
    pause: bool = False  #: sample nothing and apply nothing, keep the results; requests still run
    rnd: Random = field(default_factory=lambda: Random(0))
    reference: bool = False  #: use the plain Python twins instead of the C routines
    trace: Tracepoints | None = None  #: ``core.trace.Trace``
    sampled: object = field(default=None, repr=False)  #: scratch of the operations set: the native view of its targets

    results: Results | None = field(default=None, repr=False)  #: where the results of each aggregation are kept

    passed_sample_intervals: int = 0
    found: int = 0  #: pages that the last sample was taken of, as far as the machine counts them
    next_aggregation_sis: int = 0
    next_ops_update_sis: int = 0
    next_intervals_tune_sis: int = 0

    engine: Engine | None = None  #: what runs it when it is not ``damon.core``; commits go there
    kdamond: Thread | None = None  #: the clock's thread while the worker runs
    kdamond_stop: bool = False
    call_controls: list[DamonCallControl] = field(default_factory=list)
    call_controls_obsolete: bool = False
    walk_control: DamosWalkControl | None = None
    walking: DamosWalkControl | None = None  #: the request that the pass at hand reports to
    walk_control_obsolete: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)
    maybe_corrupted: bool = False
    error: BaseException | None = None  #: what ended the worker, if it was not asked to

    def nr_regions(self) -> int:
        nr = 0
        for target in self.targets:
            nr += target.regions.nr
        return nr

    def _repr_html_(self) -> str:
        """For notebooks: attributes, targets and schemes."""
        targets = (f"{target.regions.nr} regions, {target.regions.total_size()} in all" for target in self.targets)
        rows = [
            ("operations set", html.text(getattr(self.ops, "id", "none"))),
            *((name, html.text(getattr(self.attrs, name))) for name in _SHOWN),
            *((f"target {number}", shown) for number, shown in enumerate(targets)),
            *((f"scheme {number}", html.text(scheme.action)) for number, scheme in enumerate(self.schemes)),
            ("worker", "runs" if self.kdamond is not None else "none"),
        ]
        return html.table("context", ("field", "value"), rows) + "".join(
            scheme._repr_html_() for scheme in self.schemes
        )
