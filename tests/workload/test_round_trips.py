# SPDX-License-Identifier: GPL-2.0-only
"""Any workload written down is read as itself; any plan keeps its options; anything else is refused in one line."""

from __future__ import annotations

import contextlib
import json
from dataclasses import asdict, replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from damon.errors import InvalidInput
from damon.workload.load import parse_workload
from damon.workload.masim import parse_masim
from damon.workload.model import (
    Access,
    Area,
    Cgroup,
    Event,
    Hotplug,
    Kind,
    MachineSpec,
    Node,
    Pattern,
    Phase,
    PhaseEvent,
    ProcessSpec,
    Swap,
    Workload,
)
from damon.workload.plan import Options, change_options, compile_plan
from damon.workload.yaml12 import Malformed, compose, plain
from tests.changed import changed
from tests.workload.bad_values import BAD, GOOD

PAGES = st.integers(1, 1 << 20).map(lambda pages: pages * 4096)
NAMES = st.from_regex(r"[A-Za-z0-9_.-]{1,64}", fullmatch=True)
LATENCIES = st.floats(0, 1e9)
SWAP = st.builds(Swap, PAGES, LATENCIES, LATENCIES, st.none() | st.integers(0, 32767))
SWAPS = st.none() | SWAP | st.lists(SWAP, min_size=1, max_size=8).map(tuple)
MEMCGS = st.sampled_from(["", "web", "web/worker", "a.b/c-d/e_f"])


@st.composite
def workloads(draw: st.DrawFn) -> Workload:
    """Valid ones: areas that are mapped late are mapped in the first phase and unmapped in the last."""
    names = draw(st.lists(NAMES, min_size=1, max_size=4, unique=True))
    processes = draw(st.lists(NAMES, min_size=1, max_size=2, unique=True))
    areas = tuple(
        Area(name, draw(PAGES), draw(st.sampled_from(Kind)), draw(st.sampled_from(processes)), draw(st.booleans()),
             draw(st.booleans()), draw(MEMCGS))
        for name in names
    )  # fmt: skip
    late = [area.name for area in areas if not area.mapped_at_start]
    phases = []
    for index in range(draw(st.integers(2, 4))):
        events = tuple(PhaseEvent(Event.MMAP, name) for name in late) if index == 0 else ()
        touched = draw(st.lists(st.sampled_from(areas), max_size=3, unique=True))
        accesses = tuple(
            Access(area.name, draw(st.floats(1e-3, 1e10)), draw(st.sampled_from(Pattern)), draw(st.floats(0, 1)),
                   draw(st.integers(1, area.size)), draw(st.floats(0.001, 8)))
            for area in touched
        )  # fmt: skip
        plugs = (Hotplug(True, 4 << 20), Hotplug(False, 4 << 20))[: draw(st.sampled_from([0, 0, 2]))]
        phases.append(Phase(f"phase {index}", draw(st.integers(1, 10**15)), accesses, events, plugs))
    phases.append(Phase("last", 1, (), tuple(PhaseEvent(Event.MUNMAP, name) for name in late)))
    nodes = tuple(
        Node(draw(PAGES.filter(lambda size: size > 4096)), draw(LATENCIES), draw(st.sampled_from([(), distances])))
        for distances in ((), ((10, 20), (254, 10)))[draw(st.booleans())]
    )
    memory = sum(node.size for node in nodes) or draw(st.integers(2, 1 << 30)) * 4096
    machine = MachineSpec(
        memory, draw(st.sampled_from([0, 4096])), draw(SWAPS), draw(LATENCIES), draw(LATENCIES), draw(LATENCIES),
        draw(LATENCIES), draw(LATENCIES), draw(LATENCIES),
        draw(st.sampled_from(["always", "madvise", "never"])), draw(LATENCIES),
        nodes, draw(st.sampled_from([0, 100, 250, 300, 1000])),
    )  # fmt: skip
    used = dict.fromkeys(area.process for area in areas)
    node = st.integers(0, max(len(nodes), 1) - 1)
    specs = tuple(ProcessSpec(name, draw(MEMCGS), draw(node)) for name in used if draw(st.booleans()))
    workload = Workload("w", areas, tuple(phases), draw(st.booleans()), machine, specs)
    groups = dict.fromkeys(filter(None, (workload.memcg(area) for area in areas)))
    limits = st.none() | st.just(0) | PAGES
    return replace(workload, cgroups=tuple(Cgroup(name, *(draw(limits) for _ in range(5))) for name in groups))


def as_yaml(workload: Workload) -> str:
    """The same workload as a file; JSON is YAML (1.2), with every text in quotes."""
    data = asdict(workload)
    areas, machine = data["areas"], data["machine"]
    for area in areas:
        area["mapped"] = area.pop("mapped_at_start")
        del area["part_of"]
        assert area.pop("replay") is None
    for phase in data["phases"]:
        phase["duration"] = phase.pop("duration_us")
        plugs, events = phase.pop("hotplug"), phase.pop("events")
        for name, online in (("online", True), ("offline", False)):
            phase[name] = [{"size": plug["size"], "node": plug["node"]} for plug in plugs if plug["online"] is online]
        phase |= {event.value: [one["name"] for one in events if one["event"] is event] for event in Event}
        phase["access"] = phase.pop("accesses")
        for access in phase["access"]:
            access["write"] = access.pop("write_share")
    data["areas"] = {area.pop("name"): area for area in areas}
    data["processes"] = {spec.pop("name"): spec for spec in data.pop("process_specs")}
    data["cgroups"] = {
        one.pop("name"): {
            f"memory.{name.replace('_', '.')}": "max" if limit is None else limit for name, limit in one.items()
        }
        for one in data["cgroups"]
    }
    machine["swap"] = machine["swap"] or "none"
    return json.dumps(data, default=lambda kind: kind.value)


@given(workloads())
def test_yaml(workload: Workload) -> None:
    assert parse_workload(plain(compose(as_yaml(workload)))) == workload


@given(st.dictionaries(NAMES, st.tuples(PAGES, st.integers(0, 1000), st.integers(0, 1), st.sampled_from(["ro", "wo"])),
                       min_size=1, max_size=4), st.floats(1, 1e9))  # fmt: skip
def test_masim(regions: dict[str, tuple[int, int, int, str]], rate: float) -> None:
    """What is written is read, and the weights share the rate out."""
    text = "".join(f"{name}, {size}\n" for name, (size, *_) in regions.items()) + "\nrun\n250\n"
    text += "".join(f"{name}, {random}, 64, {weight}, {mode}\n" for name, (_, weight, random, mode) in regions.items())
    workload = parse_masim(text, "m", rate)
    accesses = {access.area: access for access in workload.phases[0].accesses}
    total = sum(weight for _, weight, _, _ in regions.values())
    assert {area.name: area.size for area in workload.areas} == {name: size for name, (size, *_) in regions.items()}
    assert accesses.keys() == {name for name, (_, weight, _, _) in regions.items() if weight}
    for name, access in accesses.items():
        _, weight, random, mode = regions[name]
        assert abs(access.rate - rate * weight / total) <= 1e-9 * rate
        assert (access.pattern is Pattern.RANDOM, access.write_share == 1.0) == (random == 1, mode == "wo")


OPTIONS = st.builds(
    Options, st.integers(0, 2**64 - 1), st.integers(1, 10**9), st.integers(0, 10**15), st.integers(0, 10**9),
    st.integers(1, 10_000), st.sampled_from(["auto", "on", "off"]), st.booleans(),
    st.sampled_from(["/var/tmp", "/tmp/with a blank"]),
)  # fmt: skip


@given(workloads(), OPTIONS, OPTIONS)
def test_options_of_a_plan_change_and_nothing_else(workload: Workload, one: Options, other: Options) -> None:
    plan = compile_plan(workload, one)
    assert change_options(plan) == plan
    assert change_options(plan, **vars(other)) == compile_plan(workload, other)
    assert change_options(plan, seed=7) == compile_plan(workload, replace(one, seed=7))


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.from_regex(r"\d+ ?[kKMGTmsuh]?"),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "size", "rate"]), inner, max_size=3)
    ),
    max_leaves=5,
)


@given(st.sampled_from([path for path, _, _ in BAD]), VALUES)
def test_any_value_anywhere_is_taken_or_refused_in_one_line(path: str, value: Any) -> None:
    try:
        parse_workload(changed(GOOD, path, value))
    except InvalidInput as error:
        assert "\n" not in str(error)


@given(st.text(max_size=60))
def test_any_text_is_taken_or_refused(text: str) -> None:
    for parse in (
        lambda: parse_workload(plain(compose(text))),
        lambda: parse_masim(text, "x"),
        lambda: change_options(text),
    ):
        with contextlib.suppress(InvalidInput, Malformed):
            parse()
