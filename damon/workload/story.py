# SPDX-License-Identifier: GPL-2.0-only
"""Is a workload consistent, phase after phase? Mapped areas, living processes, sizes of memory."""

from __future__ import annotations

from damon.workload.model import Event, Workload
from damon.workload.quantities import refusal


def check_story(workload: Workload) -> None:
    """Refuse a workload that maps twice, unmaps or touches what is not mapped, or revives a process."""
    areas = {area.name: area for area in workload.areas}
    mapped = {area.name for area in workload.areas if area.mapped_at_start}
    late = {spec.name for spec in workload.process_specs if spec.late}
    dead = set(late)
    # What is mapped after a round depends on the round alone, so two rounds show what any number does.
    rounds = 2 if workload.repeat else 1
    for index, phase in list(enumerate(workload.phases)) * rounds:
        for event in phase.events:
            field = f"phases[{index}].{event.event.value}"
            if event.event is Event.EXIT:
                if event.name in dead:
                    raise refusal(field, event.name, "has exited already, or not yet started; leave it out")
                dead.add(event.name)
                mapped -= {name for name, area in areas.items() if area.process == event.name}
            elif event.event is Event.MMAP:
                if event.name in mapped:
                    raise refusal(
                        field, event.name, "is mapped already; write mapped: false in the area, or munmap it first"
                    )
                dead -= {areas[event.name].process} & late
                if areas[event.name].process in dead:
                    raise refusal(
                        field,
                        event.name,
                        f"belongs to process {areas[event.name].process}, which has exited; leave it out",
                    )
                mapped.add(event.name)
            else:
                if event.name not in mapped:
                    raise refusal(field, event.name, "is not mapped then; mmap it first")
                mapped.remove(event.name)
        for i, access in enumerate(phase.accesses):
            if access.area not in mapped:
                raise refusal(
                    f"phases[{index}].access[{i}].area", access.area, "is not mapped in that phase; mmap it first"
                )


def check_hotplug(workload: Workload) -> None:
    """Refuse memory that goes before it came, and with ``repeat`` a round that does not leave as much as it found."""
    nodes = workload.machine.nodes
    sizes = [node.size for node in nodes] or [workload.machine.memory]
    before = list(sizes)
    field = ""
    for index, phase in enumerate(workload.phases):
        for one in phase.hotplug:
            field = f"phases[{index}].{'online' if one.online else 'offline'}"
            if one.node >= len(sizes):
                raise refusal(f"{field}.node", one.node, f"is not a node; machine.nodes has {len(nodes) or 'none'}")
            if not one.online and one.size > sizes[one.node]:
                raise refusal(
                    f"{field}.size", one.size, f"is more than node {one.node} has then; give at most {sizes[one.node]}"
                )
            sizes[one.node] += one.size if one.online else -one.size
    if workload.repeat and sizes != before:
        raise refusal(field, sizes, f"is what a round leaves of {before}; with repeat bring back what goes")
