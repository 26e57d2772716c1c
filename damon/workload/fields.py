# SPDX-License-Identifier: GPL-2.0-only
"""From the fields of a workload file to its areas, processes, accesses and phases."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from damon.quoting import listed
from damon.workload.model import (
    HOTPLUG,
    Access,
    Area,
    Cgroup,
    Event,
    Hotplug,
    Kind,
    Pattern,
    Phase,
    PhaseEvent,
    ProcessSpec,
    Workload,
)
from damon.workload.quantities import parse_bytes, parse_duration, parse_limit, parse_rate, parse_size, refusal
from damon.workload.schema import (
    PHASE_NAME,
    AccessFields,
    AreaFields,
    CgroupFields,
    HotplugFields,
    PhaseFields,
    ProcessFields,
    check_memcg,
    check_name,
    convert,
)


def area_of(name: str, raw: AreaFields, field: str) -> Area:
    """The area ``name`` of the fields at ``field``."""
    process = check_name(raw.process, f"{field}.process")
    memcg = check_memcg(raw.memcg, f"{field}.memcg")
    size = parse_size(raw.size, f"{field}.size")
    return Area(name, size, Kind(raw.kind), process, raw.populate, raw.mapped, memcg, locked=raw.locked)


def process_of(name: str, spec: Any, areas: Collection[Area], nodes: int) -> ProcessSpec:
    """What the file describes of the process ``name``, which maps one of ``areas``."""
    known = dict.fromkeys(area.process for area in areas)
    if name not in known:
        raise refusal("processes", name, f"maps no area; those that do are {listed(known)}")
    raw = convert(spec, ProcessFields, f"processes.{name}")
    if raw.node >= max(nodes, 1):
        raise refusal(f"processes.{name}.node", raw.node, f"is not a node; machine.nodes has {nodes or 'none'}")
    if raw.late and any(area.process == name and area.mapped_at_start for area in areas):
        raise refusal(f"processes.{name}.late", True, "has an area mapped from the start; give it mapped: false")
    if raw.late and any(area.process == name and area.replay is not None for area in areas):
        raise refusal(f"processes.{name}.late", True, "has areas of a trace, which begins at the start; leave it out")
    return ProcessSpec(name, check_memcg(raw.memcg, f"processes.{name}.memcg"), raw.node, raw.late)


def cgroup_of(name: str, spec: Any) -> Cgroup:
    """The limits that the file gives the cgroup ``name``."""
    field = f"cgroups.{name}"
    raw = convert(spec, CgroupFields, field)
    path = check_memcg(name, "cgroups")
    if not path:
        raise refusal("cgroups", name, "is not a cgroup; give a name below the root, e.g. web or web/worker")
    limits = {
        attribute: parse_limit(getattr(raw, attribute), f"{field}.{name}")
        for attribute, name in zip(CgroupFields.__struct_fields__, CgroupFields.__struct_encode_fields__, strict=True)
    }
    return Cgroup(path, **limits)


def check_cgroups(workload: Workload) -> None:
    """Refuse limits that are given twice, or of a cgroup that nothing is charged to."""
    names = [cgroup.name for cgroup in workload.cgroups]
    charged = {workload.memcg(area) for area in workload.areas} - {""}
    for name in names:
        if names.count(name) > 1:
            raise refusal("cgroups", name, "is given twice; put its limits together")
        if not any(f"{one}/".startswith(f"{name}/") for one in charged):
            why = f"has no areas; those that do are {listed(charged) if charged else 'none'}"
            raise refusal("cgroups", name, f"{why}; give an area or a process memcg: {name}")


def access_of(raw: AccessFields, field: str, areas: dict[str, Area]) -> Access:
    """The access at ``field``. Beside a hot spot the rate of the rest can be 0."""
    if raw.area not in areas:
        raise refusal(f"{field}.area", raw.area, f"is not an area; known are {listed(areas)}")
    _check_free([areas[raw.area]], f"{field}.area", raw.area)
    stride = parse_bytes(raw.stride, f"{field}.stride")
    if stride > areas[raw.area].size:
        raise refusal(
            f"{field}.stride", raw.stride, f"is more than the area has; give at most {areas[raw.area].size} bytes"
        )
    rate = 0.0 if raw.hot is not None and raw.rate in (0, "0") else parse_rate(raw.rate, f"{field}.rate")
    return Access(raw.area, rate, Pattern(raw.pattern), float(raw.write), stride, float(raw.skew))


def _check_free(areas: Collection[Area], field: str, value: str) -> None:
    """Refuse what a phase says of a trace's areas."""
    if any(area.replay is not None for area in areas):
        raise refusal(field, value, "is of a trace, which has its own times and accesses; leave it out")


def phase_of(index: int, raw: PhaseFields, areas: dict[str, Area]) -> Phase:
    """The phase with this index, before expansion."""
    field = f"phases[{index}]"
    duration = parse_duration(raw.duration, f"{field}.duration")
    name = check_name(raw.name, f"{field}.name", PHASE_NAME) if raw.name else f"phase {index}"
    accesses = tuple(access_of(access, f"{field}.access[{i}]", areas) for i, access in enumerate(raw.access))
    touched = [access.area for access in accesses]
    for i, area in enumerate(touched):
        if area in touched[:i]:
            raise refusal(f"{field}.access[{i}].area", area, "is given twice; an area has one pattern a phase")
    processes = dict.fromkeys(area.process for area in areas.values())
    events = []
    for event, names, known in (
        (Event.MUNMAP, raw.munmap, areas), (Event.EXIT, raw.exit, processes), (Event.MMAP, raw.mmap, areas)
    ):  # fmt: skip
        for i, one in enumerate(names):
            if one not in known:
                what = "a process" if event is Event.EXIT else "an area"
                raise refusal(f"{field}.{event.value}[{i}]", one, f"is not {what}; known are {listed(known)}")
            hit = [area for area in areas.values() if one == (area.process if event is Event.EXIT else area.name)]
            _check_free(hit, f"{field}.{event.value}[{i}]", one)
            events.append(PhaseEvent(event, one))
    hotplug = [_hotplug(True, one, f"{field}.online[{i}]") for i, one in enumerate(raw.online)]
    hotplug += [_hotplug(False, one, f"{field}.offline[{i}]") for i, one in enumerate(raw.offline)]
    return Phase(name, duration, accesses, tuple(events), tuple(hotplug))


def _hotplug(online: bool, raw: HotplugFields, field: str) -> Hotplug:
    size = parse_size(raw.size, f"{field}.size")
    if size % HOTPLUG:
        raise refusal(f"{field}.size", raw.size, f"is not a multiple of {HOTPLUG >> 20}M; give one")
    return Hotplug(online, size, raw.node)
