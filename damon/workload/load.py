# SPDX-License-Identifier: GPL-2.0-only
"""Reading and validating workload files: YAML or masim's plain text. Every error is one line: file, place, remedy."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, Literal

import msgspec
import yaml

from damon import format_version
from damon.errors import InvalidInput
from damon.quoting import cut
from damon.workload.expand import is_expanded
from damon.workload.fields import area_of, cgroup_of, check_cgroups, phase_of, process_of
from damon.workload.find import find_workload
from damon.workload.masim import FULL_SPEED, parse_masim
from damon.workload.model import (
    Area,
    MachineSpec,
    Node,
    Phase,
    Swap,
    Workload,
)
from damon.workload.quantities import parse_duration, parse_size, refusal
from damon.workload.replays import check_apart, is_replay, memory_for, own_phase, replayed_areas, workload_of
from damon.workload.schema import (
    TAKES,
    AreaFields,
    FileFields,
    MachineFields,
    NodeFields,
    SwapFields,
    check_name,
    convert,
    steps,
)
from damon.workload.story import check_hotplug, check_story
from damon.workload.tracefile.reader import is_trace
from damon.workload.yaml12 import Malformed, compose, plain, read_text

#: The version of the file format.
FORMAT: Final = 1


def _node(index: int, raw: NodeFields, count: int) -> Node:
    field = f"machine.nodes[{index}]"
    if raw.distances and (len(raw.distances) != count or raw.distances[index] != 10):
        raise refusal(
            f"{field}.distances",
            raw.distances,
            f"is not one distance to each node; give {count}, 10 to node {index} itself",
        )
    size = 0 if index and raw.size in (0, "0") else parse_size(raw.size, f"{field}.size")  # 0: it has to come online
    return Node(size, raw.latency_ns, tuple(raw.distances))


def _swap(raw: Any) -> Swap | tuple[Swap, ...] | None:
    """One device, several, or none."""
    if raw == "none":
        return None
    if isinstance(raw, list) and 1 <= len(raw) <= 8:
        return tuple(_swap_device(device, f"machine.swap[{index}]") for index, device in enumerate(raw))
    if isinstance(raw, dict):
        return _swap_device(raw, "machine.swap")
    raise refusal("machine.swap", raw, f"is not valid; give {TAKES['swap']}")


def _swap_device(raw: Any, field: str) -> Swap:
    given = convert(raw, SwapFields, field)
    return Swap(parse_size(given.size, f"{field}.size"), given.read_us, given.write_us, given.priority)


def _machine(raw: MachineFields, areas: tuple[Area, ...]) -> MachineSpec:
    """With as much memory and swap as ``areas`` of traces need, where the file does not give them."""
    replays = any(area.replay is not None for area in areas)
    memory = memory_for(areas) if replays else MachineSpec.memory
    nodes = tuple(_node(index, node, len(raw.nodes)) for index, node in enumerate(raw.nodes))
    memory = sum(node.size for node in nodes) or memory
    if raw.memory is not msgspec.UNSET:
        given_memory = parse_size(raw.memory, "machine.memory")
        if nodes and given_memory != memory:
            raise refusal(
                "machine.memory", raw.memory, f"is not the sum of the nodes, {memory}; give that, or leave it out"
            )
        memory = given_memory
    reserved = parse_size(raw.reserved, "machine.reserved") if raw.reserved not in (0, "0") else 0
    if reserved >= memory:
        raise refusal("machine.reserved", raw.reserved, f"leaves nothing of the {memory} bytes of memory; give less")
    given: dict[str, Any] = {"swap": Swap(memory)} if replays else {}
    if raw.swap is not msgspec.UNSET:
        given["swap"] = _swap(raw.swap)
    return MachineSpec(
        memory=memory, reserved=reserved, file_read_us=raw.file_read_us, file_write_us=raw.file_write_us,
        fault_us=raw.fault_us, reclaim_us=raw.reclaim_us, scan_us=raw.scan_us,
        migrate_us=raw.migrate_us, thp=raw.thp, huge_us=raw.huge_us, check_us=raw.check_us, wake_us=raw.wake_us,
        hz=raw.hz, nodes=nodes, **given,
    )  # fmt: skip


def parse_workload(data: Any, name: str = "workload", directory: Path = Path()) -> Workload:
    """The workload that parsed YAML ``data`` describes; ``InvalidInput`` names the field.

    Args:
        data: the file's.
        name: of the workload, unless the file gives one.
        directory: where the trace files are that it names.
    """
    later = format_version.refusal(data, FORMAT)
    if later is not None:
        raise InvalidInput(later)
    raw = convert(data, FileFields)
    areas = _areas(raw, directory)
    nodes = len(raw.machine.nodes)
    specs = tuple(process_of(process, spec, areas.values(), nodes) for process, spec in raw.processes.items())
    phases = _phases(raw, areas)
    machine = _machine(raw.machine, tuple(areas.values()))
    cgroups = tuple(cgroup_of(cgroup, spec) for cgroup, spec in raw.cgroups.items())
    workload = Workload(raw.name or name, tuple(areas.values()), phases, raw.repeat, machine, specs, cgroups)
    check_story(workload)
    check_hotplug(workload)
    if is_expanded(raw):
        workload = _expanded(raw, workload)
    check_cgroups(workload)
    return workload


def _expanded(raw: FileFields, workload: Workload) -> Workload:
    """With everything written out; areas of traces stay as they are."""
    from damon.workload.timeline import expand

    traced = [area for area in workload.areas if area.replay is not None]
    own = {name: spec for name, spec in (raw.areas or {}).items() if not is_replay(spec)}
    plain = replace(workload, areas=tuple(area for area in workload.areas if area.replay is None))
    written = expand(msgspec.structs.replace(raw, areas=own), plain) if traced else expand(raw, workload)
    check_apart(traced, written)
    return replace(written, areas=(*written.areas, *traced))


def _areas(raw: FileFields, directory: Path) -> dict[str, Area]:
    if not isinstance(raw.areas, dict):
        if raw.instances:
            return {}
        raise InvalidInput(f"areas: is missing; give {TAKES['areas']}")
    if not raw.areas and not raw.instances:
        raise refusal("areas", raw.areas, "is empty; give at least one")
    areas: dict[str, Area] = {}
    for name, spec in raw.areas.items():
        field = f"areas.{name}"
        found = (
            replayed_areas(name, spec, directory)
            if is_replay(spec)
            else [area_of(check_name(name, "areas"), convert(spec, AreaFields, field), field)]
        )
        for area in found:
            if area.name in areas:
                raise refusal(field, area.name, "is there already; give one of the two another name")
            areas[area.name] = area
    return areas


def _phases(raw: FileFields, areas: dict[str, Area]) -> tuple[Phase, ...]:
    """Those of the file; one without a name for its ``duration``."""
    if not isinstance(raw.phases, list):
        if raw.duration is not msgspec.UNSET:
            return (Phase("", parse_duration(raw.duration, "duration")),)
        if any(area.replay is not None for area in areas.values()):
            return (own_phase(tuple(areas.values())),)
        raise InvalidInput(f"phases: is missing; give {TAKES['phases']}, or a duration")
    if raw.duration is not msgspec.UNSET:
        raise refusal("duration", raw.duration, "is for a file without phases, which have their own; leave it out")
    if not raw.phases:
        raise refusal("phases", raw.phases, "is empty; give at least one")
    return tuple(phase_of(index, phase, areas) for index, phase in enumerate(raw.phases))


def _is_yaml(path: Path, text: str) -> bool:
    """By its name; else masim's first line is ``NAME, BYTES``, and YAML's has a colon or a bracket."""
    if path.suffix in (".yaml", ".yml", ".cfg"):
        return path.suffix != ".cfg"
    first = next((line for line in text.splitlines() if line.strip() and not line.startswith("#")), "")
    return re.match(r"[^,]*[:{]", first) is not None


def load_workload(
    path: str | Path, form: Literal["auto", "yaml", "masim"] = "auto", full_speed: float = FULL_SPEED
) -> Workload:
    """Read ``path``; ``form`` is its form, else its begin (a trace file's), its name or its first line shows it.

    Args:
        path: a file, or the name of a shipped workload (``hot-cold``).
        full_speed: touches a second of a masim configuration, which has no rates.

    Raises:
        InvalidInput: the file can't be read, or is wrong; one line with file, line, place, value and remedy.
    """
    path = find_workload(path)
    if form == "auto" and is_trace(path):
        return workload_of(path)
    try:
        text = read_text(path)
    except (OSError, ValueError) as error:
        raise InvalidInput(f"workload file: {str(path)!r}: {_why(error)}") from None
    try:
        if form == "masim" or (form == "auto" and not _is_yaml(path, text)):
            return parse_masim(text, path.stem, full_speed)
        root, data = read_yaml(text)
    except InvalidInput as error:
        raise InvalidInput(f"{path}: {error.strerror}") from None
    try:
        return parse_workload(data, path.stem, path.parent)
    except InvalidInput as error:
        line = line_of(root, steps(str(error.strerror).partition(": ")[0]))
        place = f"{path}: line {line}" if line is not None else str(path)
        raise InvalidInput(f"{place}: {error.strerror}") from None


def _why(error: OSError | ValueError) -> str:
    if isinstance(error, OSError):
        return f"{error.strerror}; correct the path"
    if isinstance(error, Malformed):
        return f"line {error.line}: {error.what}" if error.line else error.what
    return f"{error}; correct the path"  # a null byte in it


def read_yaml(text: str) -> tuple[yaml.Node | None, Any]:
    """The nodes of the document in ``text``, and its data.

    Raises:
        InvalidInput: this is not YAML; ``line N: ...`` where the line is known.
    """
    try:
        root = compose(text)
        return root, plain(root)
    except Malformed as error:
        place = f"line {error.line}: " if error.line else ""
        raise InvalidInput(f"{place}{cut(error.what)}") from None


def line_of(root: yaml.Node | None, path: Sequence[str | int]) -> int | None:
    """The line (from 1) of the field at ``path`` below ``root``, or of the innermost one that is there."""
    if root is None:
        return None
    node, line = root, int(root.start_mark.line)
    for step in path:
        if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
            node = node.value[step]
            line = node.start_mark.line
        elif isinstance(node, yaml.MappingNode):
            found = next(((k, v) for k, v in node.value if k.value == step), None)
            if found is None:
                break
            line, node = found[0].start_mark.line, found[1]
        else:
            break
    return line + 1
