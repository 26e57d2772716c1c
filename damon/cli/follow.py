# SPDX-License-Identifier: GPL-2.0-only
"""``damon status --follow``: what a running damond does over time, as results in a directory."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, NoReturn

from damon.command.process import raise_interrupts
from damon.damond.client import Client
from damon.damond.snapshot import Context, Snapshot, from_object
from damon.errors import InvalidInput
from damon.library.engine import Identity
from damon.results.directory import DirectorySink, check_form, check_place
from damon.results.request import request
from damon.results.sink import Sink

_STAT: Final = (
    *("nr_tried", "sz_tried", "nr_applied", "sz_applied", "sz_ops_filter_passed", "qt_exceeds", "nr_snapshots"),
)


def check(arguments: argparse.Namespace) -> None:
    """Refuse wrong options before damond is asked."""
    if not arguments.follow:
        given = next((name for name in ("out", "every", "out_form") if getattr(arguments, name) is not None), None)
        if given is not None:
            raise InvalidInput(f"--{given.replace('_', '-')}: is for --follow; give --follow, or leave it out")
        return
    if arguments.out is None:
        raise InvalidInput("--follow: writes results to a directory; give --out DIR")
    check_place(arguments.out)
    check_form(arguments.out_form)


def follow(arguments: argparse.Namespace, client: Client) -> int:
    """Until Ctrl-C, or damond's end."""
    raise_interrupts()
    every = arguments.every or 1.0
    first = from_object(client.call("snapshot", regions=0))
    sink = DirectorySink(arguments.out, _request(first, every), arguments.out_form)
    try:
        record(lambda: from_object(client.call("snapshot", regions=0)), sink, first, lambda: time.sleep(every))
    except KeyboardInterrupt:
        sink.close()
        sink.describe(contexts=[], result={"damond": first.mount})
        return 0
    finally:  # damond is lost: the state stays "running"
        sink.close()


def _request(first: Snapshot, every: float) -> dict[str, Any]:
    return request(
        command="damon status --follow", machine=first.machine,
        engine=Identity(first.engine, first.engine_version, first.engine), seed=0, seconds=None, modules={},
        workload=None, every_ns=int(every * 1e9), regions=False,
    )  # fmt: skip


def record(take: Callable[[], Snapshot], sink: Sink, first: Snapshot, wait: Callable[[], object]) -> NoReturn:
    """Write the rows of ``first``, ``wait()``, then those of the next snapshot, and so on until something raises."""
    now = first
    while True:
        for table, columns in rows(now, first.now_ns).items():
            if any(map(len, columns.values())):
                sink.append(table, columns)
        sink.flush()
        wait()
        now = take()


def rows(snapshot: Snapshot, epoch_ns: int) -> Mapping[str, dict[str, list[Any]]]:
    """The rows of one snapshot. Contexts are numbered in the order of the workers."""
    now = snapshot.now_ns - epoch_ns
    machine: dict[str, list[Any]] = {name: [None] for name in _MACHINE_UNKNOWN}
    machine |= {"time_ns": [now], "free_bytes": [snapshot.free_bytes]}
    contexts = [context for kdamond in snapshot.kdamonds if kdamond.running for context in kdamond.contexts]
    result: dict[str, list[dict[str, Any]]] = {"contexts": [], "schemes": [], "goals": []}
    for number, context in enumerate(contexts):
        here = {"time_ns": now, "context": number}
        result["contexts"].append(
            here | {"sample_us": context.sample_us, "aggr_us": context.aggr_us, "nr_regions": context.nr_regions,
                    "accessed_bytes": context.working_set_sz * context.addr_unit}
        )  # fmt: skip
        result["schemes"] += _schemes(context, here)
        result["goals"] += [
            here | {"scheme": index, "goal": place, "current_value": goal.current_value,
                    "target_value": goal.target_value}
            for index, scheme in enumerate(context.schemes)
            for place, goal in enumerate(scheme.quota.goals)
        ]  # fmt: skip
    tables = {name: _columns(found) for name, found in result.items() if found}
    return {"machine": machine, **tables}


_MACHINE_UNKNOWN: Final = (
    "resident_bytes", "swapped_bytes", "faults", "refaults", "swap_ins", "swap_outs", "psi_some_us", "slowdown",
)  # fmt: skip


def _schemes(context: Context, here: Mapping[str, int]) -> list[dict[str, Any]]:
    return [
        {
            **here, "scheme": number, **{name: getattr(scheme.stat, name) for name in _STAT},
            "esz": scheme.quota.esz, "charged_sz": scheme.quota.charged_sz, "min_score": None,
            "active": int(scheme.wmarks.activated),
        }
        for number, scheme in enumerate(context.schemes)
    ]  # fmt: skip


def _columns(found: list[dict[str, Any]]) -> dict[str, list[Any]]:
    return {name: [row[name] for row in found] for name in found[0]}
