# SPDX-License-Identifier: GPL-2.0-only
"""One run as it is asked for, and what came of it: records that travel to workers and stand in result files."""

from __future__ import annotations

import hashlib
from typing import Annotated, Final, Literal

import msgspec

from damon.tune.goals import Objective
from damon.tune.measure import Measured

#: A run is measured at so many moments, evenly spread, the last at its end; it can be given up at each.
CHECKPOINTS: Final = 16
#: Looks between two of them.
LOOKS: Final = 90
_Name = Annotated[str, msgspec.Meta(max_length=300)]
Outcome = Literal["complete", "pruned", "refused", "failed"]
_Count = Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]


class Rules(msgspec.Struct, frozen=True):
    """When a run is given up.

    Attributes:
        constraints: conditions as text; it is when one cannot be kept any more, whatever comes.
        objective: and when this figure is worse at a checkpoint
        bounds: than its value here; None: no bound there.
    """

    constraints: tuple[_Name, ...] = ()
    objective: Objective | None = None
    bounds: tuple[float | None, ...] = ()


class Request(msgspec.Struct, frozen=True):
    """A run. Equal requests have equal results, on any machine.

    Attributes:
        workload: the content's hash.
        name: of the workload, for people.
        engine: as it is given; empty: nothing monitors.
        version: of the engine, and the hash of its sources if it has one.
        modules: parameters of each, ``min_age=5000000``, in order.
        seed: of every random choice.
        duration_us: of the machine's time.
        rules: when it is given up; None: never.
    """

    workload: _Name
    name: _Name
    engine: _Name
    version: _Name
    modules: Annotated[dict[_Name, list[_Name]], msgspec.Meta(max_length=100)]
    seed: Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]
    duration_us: _Count
    rules: Rules | None = None

    def key(self) -> str:
        """A hash of all of it."""
        return hashlib.sha256(msgspec.json.encode(self, order="deterministic")).hexdigest()[:32]

    def directory(self) -> str:
        """The name of its run directory."""
        return f"{self.key()}.run"


class Result(msgspec.Struct, frozen=True):
    """What came of a run.

    Attributes:
        outcome: ``complete``; ``pruned``: given up; ``refused``: its parameters were; ``failed``: a worker ended.
        why: in words, unless it is complete.
        measured: at each checkpoint that it came to.
    """

    outcome: Outcome
    measured: Annotated[list[Measured], msgspec.Meta(max_length=CHECKPOINTS)] = []
    why: Annotated[str, msgspec.Meta(max_length=1000)] = ""


class Task(msgspec.Struct, frozen=True):
    """A request on its way to a worker, with the run that it is compared with."""

    request: Request
    base: list[Measured] = []
    out: str = ""  #: where a run directory of it is made; empty: nowhere
