# SPDX-License-Identifier: GPL-2.0-only
"""What a run was asked, as ``run.json`` has it: enough to ask for it again, and to know the truth of the workload."""

from __future__ import annotations

import dataclasses
import enum
import hashlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from damon.version import __version__
from damon.workload.model import Workload

if TYPE_CHECKING:
    from damon.library.engine import Identity
    from damon.mm.sim.machine import SimulatedMachine


def plain(value: Any) -> Any:
    """Dataclasses, enums and tuples as plain values of JSON."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


def workload_request(workload: Workload, machine: SimulatedMachine | None = None) -> dict[str, Any]:
    """A workload whole, with a hash of its content.

    With ``machine`` also where its areas are (``start``, bytes), and the numbers of its processes (``pids``).
    """
    content = plain(workload)
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    if machine is not None:
        content["pids"] = dict(machine.pids)
        for area in content["areas"]:
            area["start"] = machine.state.placed[area["name"]].start
    return {**content, "sha256": digest}


def request(
    *,
    command: str,
    machine: str,
    engine: Identity,
    seed: int,
    seconds: float | None,
    modules: Mapping[str, Mapping[str, Any]],
    workload: Mapping[str, Any] | None,
    every_ns: int,
    regions: bool,
    why: bool = False,
) -> dict[str, Any]:
    """The field ``request`` of ``run.json``.

    Args:
        command: what ran, such as ``damon run``.
        machine: ``sim`` or ``linux``.
        engine: whose DAMON.
        seed: of the machine and the contexts.
        seconds: of the machine's time that were asked for; None: until it was ended.
        modules: their parameters by their names.
        workload: see ``workload_request``; None: there was none.
        every_ns: interval between rows; 0: each aggregation.
        regions: are regions recorded?
        why: is the funnel of each scheme recorded?
    """
    return {
        "command": command,
        "pydamon": __version__,
        "machine": machine,
        "engine": engine.as_object(),
        "seed": seed,
        "seconds": seconds,
        "modules": {name: dict(parameters) for name, parameters in modules.items()},
        "workload": workload,
        "every_ns": every_ns,
        "regions": regions,
        "why": why,
    }
