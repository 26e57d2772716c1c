# SPDX-License-Identifier: GPL-2.0-only
"""``damon workload``: is a workload file valid, what is in it, and a picture of it."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Any, Final

from damon.cli import output
from damon.cli.arguments import number
from damon.errors import InvalidInput

if TYPE_CHECKING:
    from damon.workload.model import Workload

DESCRIPTION = """\
Check a workload file and sum it up, draw it, or list the shipped ones. Nothing is run.
check: exit code 0 and a summary, or 2 and one line with file, line, field, value and remedy.
plot: how often the memory of each area is touched when; each row is a time and each column an address; 0 is never, 9
the most, blank not mapped. With -o as SVG: time from left to right, addresses from top to bottom.
"""
#: Touches a second that an emulated processor makes (docs/reference/workload.md).
_EMULATED: Final = 3e6
_COUNT: Final = number(1, 1000, "a count")


def add(commands: Any) -> None:
    command = commands.add_parser(
        "workload",
        help="check, plot or list workload files",
        description=DESCRIPTION,
        epilog="example: damon workload plot daily -o daily.svg",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("what", choices=("check", "plot", "list"), help="what to do")
    command.add_argument("file", nargs="?", metavar="WORKLOAD", help="a file, or a shipped one's name")
    command.add_argument("-o", dest="output", metavar="FILE", help="plot: write an SVG picture; - for standard output")
    command.add_argument("--json", action="store_true", help="one JSON object")
    command.add_argument("--rows", type=_COUNT, default=24, metavar="N", help="plot: times (default 24)")
    command.set_defaults(function=perform)


def perform(arguments: argparse.Namespace) -> int:
    """The exit code."""
    if (arguments.file is None) == (arguments.what != "list"):
        known = "give a file, or a shipped one's name" if arguments.file is None else "leave it out"
        raise InvalidInput(f"WORKLOAD: {arguments.file!r}: does not go with {arguments.what}; {known}")
    if arguments.output is not None:
        if arguments.what != "plot" or arguments.json:
            raise InvalidInput(f"-o: {arguments.output!r}: is for a picture; give it with plot and without --json")
        output.check_writable(arguments.output, "-o")
    if arguments.what == "list":
        return _list(arguments.json)
    from damon.workload.load import load_workload

    workload = load_workload(arguments.file)
    if arguments.what == "check":
        return _check(workload, arguments.json)
    from damon.cli import workload_plot

    if all(area.replay is not None for area in workload.areas):
        raise InvalidInput(
            f"WORKLOAD: {arguments.file!r}: has areas of traces only; give their recording to damon report"
        )
    if arguments.json:
        print(json.dumps(workload_plot.as_object(workload, arguments.rows)))
    elif arguments.output is not None:
        output.write_text(arguments.output, workload_plot.svg(workload), "-o")
    else:
        workload_plot.show(workload, arguments.rows)
    return 0


def _list(as_json: bool) -> int:
    from damon.workload.find import shipped
    from damon.workload.load import load_workload
    from damon.workload.rates import most_mapped, total_us

    found: list[dict[str, Any]] = []
    for name in shipped():
        workload = load_workload(name)
        found.append(
            {
                "name": name,
                "processes": len(workload.processes),
                "most_mapped_bytes": most_mapped(workload)[0],
                "seconds": total_us(workload) / 1e6,
                "repeat": workload.repeat,
            }
        )
    if as_json:
        print(json.dumps({"workloads": found}))
        return 0
    rows = [
        (row["name"], str(row["processes"]), output.size(row["most_mapped_bytes"]), f"{row['seconds']:g} s")
        for row in found
    ]
    output.table(("workload", "processes", "memory", "time"), rows)
    return 0


def _check(workload: Workload, as_json: bool) -> int:
    from damon.workload.rates import summary

    result = summary(workload)
    machine = workload.machine
    swap = sum(device.size for device, _ in machine.swaps)
    free = machine.memory - machine.reserved
    warnings = _warnings(result.most_mapped, free, swap, result.peak_rate, result.areas)
    traced = sum(area.replay is not None for area in workload.areas)
    if traced:
        warnings.append(f"{traced} areas are of traces: their touches, and when they are mapped, are not counted here")
    if as_json:
        print(json.dumps(_object(workload, result, warnings)))
        return 0
    rows = [
        (area.name, area.process, area.kind, output.size(area.size), str(area.parts), f"{area.mapped:.0%}",
         f"{area.mean_rate:,.0f}", f"{area.peak_rate:,.0f}")
        for area in result.areas
    ]  # fmt: skip
    output.table(("area", "process", "kind", "size", "parts", "mapped", "touches/s", "at most"), rows)
    again = ", then again" if workload.repeat else ""
    print(f"{len(workload.phases)} phases in {result.seconds:g} s{again}; {len(workload.processes)} processes, "
          f"{len(workload.areas)} areas and parts")  # fmt: skip
    print(
        f"at most {output.size(result.most_mapped)} mapped, at {result.most_mapped_at:g} s; the simulated machine has"
    )
    print(f"  {output.size(free)} free of {output.size(machine.memory)}, and {output.size(swap)} of swap")
    print(f"touches a second: {result.mean_rate:,.0f} in the mean, {result.peak_rate:,.0f} at most")
    for warning in warnings:
        print(f"warning: {warning}")
    return 0


def _object(workload: Workload, result: Any, warnings: list[str]) -> dict[str, Any]:
    return {
        "workload": workload.name,
        "seconds": result.seconds,
        "phases": len(workload.phases),
        "repeat": workload.repeat,
        "processes": [
            {"name": spec.name, "late": spec.late, "memcg": spec.memcg, "node": spec.node}
            for spec in map(workload.process_spec, workload.processes)
        ],
        "areas": [
            {
                "name": area.name, "process": area.process, "kind": area.kind, "size_bytes": area.size,
                "parts": area.parts, "mapped_share": round(area.mapped, 6),
                "touches_per_second": round(area.mean_rate, 3), "most_touches_per_second": round(area.peak_rate, 3),
            }
            for area in result.areas
        ],
        "most_mapped_bytes": result.most_mapped,
        "most_mapped_seconds": result.most_mapped_at,
        "machine": {
            "memory_bytes": workload.machine.memory,
            "reserved_bytes": workload.machine.reserved,
            "swap_bytes": sum(device.size for device, _ in workload.machine.swaps),
        },
        "warnings": warnings,
    }  # fmt: skip


def _warnings(most: int, free: int, swap: int, rate: float, areas: list[Any]) -> list[str]:
    found = []
    if most > free + swap:
        lack = f"{output.size(most)} are more than free memory and swap, {output.size(free + swap)}"
        found.append(f"memory: {lack}; the simulated machine will kill a process")
    elif most > free:
        found.append(f"memory: {output.size(most)} are more than is free, {output.size(free)}; the rest is swapped out")
    if rate > _EMULATED:
        found.append(f"rate: {rate:,.0f} touches a second are more than an emulated processor makes, {_EMULATED:,.0f}")
    never = [area.name for area in areas if not area.mapped]
    if never:
        found.append(f"areas: {never[0]}: is never mapped; {len(never)} in all")
    return found
