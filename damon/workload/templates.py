# SPDX-License-Identifier: GPL-2.0-only
"""Programs, described once, and the processes that run them: areas and accesses with parameters filled in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import msgspec

from damon.quoting import listed
from damon.workload.arrivals import Life, parse_lives
from damon.workload.fields import access_of, area_of
from damon.workload.generators import InstanceFields, ProgramFields
from damon.workload.model import Access, Area, ProcessSpec
from damon.workload.movement import generator
from damon.workload.quantities import refusal
from damon.workload.schema import AccessFields, AreaFields, check_memcg, check_name, convert

MAX_AREAS: Final = 2000  #: of a file, after expansion


@dataclass(frozen=True)
class Process:
    """A process of a program, or one after the other with the same areas."""

    spec: ProcessSpec
    areas: tuple[tuple[Area, AreaFields, str], ...]  #: each with its fields and their path
    accesses: tuple[tuple[Access, AccessFields, str], ...]
    lives: tuple[Life, ...]


def parse_programs(raw: Mapping[str, Any]) -> dict[str, ProgramFields]:
    """The programs of a file; what depends on parameters is checked when they are known."""
    return {
        check_name(name, "programs"): convert(program, ProgramFields, f"programs.{name}")
        for name, program in raw.items()
    }


def parse_instance(
    raw: InstanceFields, field: str, programs: Mapping[str, ProgramFields], total_us: int, seed: int, nodes: int
) -> list[Process]:
    """The processes of one of the file's ``instances``.

    Args:
        raw: its fields.
        field: its path.
        programs: of the file.
        total_us: the file's time.
        seed: the file's.
        nodes: how many the machine has.

    Raises:
        InvalidInput: path, value and remedy.
    """
    program = programs.get(raw.program)
    if program is None:
        raise refusal(f"{field}.program", raw.program, f"is not a program; known are {listed(programs) or 'none'}")
    base = check_name(raw.name or raw.program, f"{field}.name")
    for name, value in raw.set.items():
        if name not in program.params:
            known = listed(program.params) or "none"
            raise refusal(f"{field}.set", name, f"is not a parameter of {raw.program}; known are {known}")
        if value == []:
            raise refusal(f"{field}.set.{name}", value, "is empty; give at least one value")
    slots = parse_lives(raw, field, total_us, generator(seed, "lives", field))
    if len(slots) * max(len(program.areas), 1) > MAX_AREAS:
        why = f"processes of {len(program.areas)} areas are more than {MAX_AREAS} areas; set most to less"
        raise refusal(f"{field}.program", len(slots), why)
    processes = []
    for number, lives in enumerate(slots):
        name = base if len(slots) == 1 else f"{base}.{number}"
        given = {
            key: value[number % len(value)] if isinstance(value, list) else value for key, value in raw.set.items()
        }
        late = lives != [Life(0, total_us)]
        processes.append(_process(name, program, raw.program, {**program.params, **given}, tuple(lives), late, nodes))
    return processes


def _process(
    name: str, program: ProgramFields, title: str, params: Mapping[str, Any], lives: tuple[Life, ...], late: bool,
    nodes: int,
) -> Process:  # fmt: skip
    field = f"programs.{title}"
    if not program.areas:
        raise refusal(f"{field}.areas", program.areas, "is empty; give at least one")
    node = _filled(program.node, params, f"{field}.node")
    if isinstance(node, bool) or not isinstance(node, int) or not 0 <= node < max(nodes, 1):
        raise refusal(f"{field}.node", node, f"is not a node; machine.nodes has {nodes or 'none'}")
    memcg = check_memcg(str(_filled(program.memcg, params, f"{field}.memcg")), f"{field}.memcg")
    areas: dict[str, Area] = {}
    rows = []
    for key, spec in program.areas.items():
        place = f"{field}.areas.{key}"
        raw = convert(_filled(spec, params, place), AreaFields, place)
        if raw.process != "main" or not raw.mapped:
            wrong, value = ("process", raw.process) if raw.process != "main" else ("mapped", False)
            raise refusal(f"{place}.{wrong}", value, "follows from the instance; leave it out")
        full = check_name(f"{name}.{check_name(key, f'{field}.areas')}", f"{field}.areas")
        areas[key] = area_of(full, replace_process(raw, name), place)
        rows.append((areas[key], raw, place))
    accesses = []
    for i, spec in enumerate(program.access):
        place = f"{field}.access[{i}]"
        access = convert(_filled(spec, params, place), AccessFields, place)
        made = access_of(access, place, areas)
        accesses.append((replace(made, area=areas[access.area].name), access, place))
    return Process(ProcessSpec(name, memcg, node, late), tuple(rows), tuple(accesses), lives)


def replace_process(raw: AreaFields, process: str) -> AreaFields:
    """``raw`` as an area of ``process``."""
    return msgspec.structs.replace(raw, process=process)


def _filled(value: Any, params: Mapping[str, Any], field: str) -> Any:
    """``value`` with each text ``$NAME`` in it replaced by that parameter."""
    if isinstance(value, dict):
        return {key: _filled(one, params, f"{field}.{key}") for key, one in value.items()}
    if isinstance(value, list):
        return [_filled(one, params, f"{field}[{i}]") for i, one in enumerate(value)]
    if not isinstance(value, str) or not value.startswith("$"):
        return value
    if value[1:] not in params:
        raise refusal(field, value, f"is not a parameter of the program; known are {listed(params) or 'none'}")
    return params[value[1:]]
