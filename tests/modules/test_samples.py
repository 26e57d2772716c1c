# SPDX-License-Identifier: GPL-2.0-only
"""The kernel's samples wsse, prcl and mtier: their parameters, their effect on the simulator, what they refuse."""

from __future__ import annotations

import errno
import logging
from collections.abc import Iterator

import pytest

from damon.core import Damon
from damon.errors import DamonError
from damon.mm.sim import SimulatedMachine
from damon.model.attrs import U32_MAX, ULONG_MAX, DamonIntervalsGoal
from damon.model.scheme import DamosAccessPattern, DamosAction, DamosFilter, DamosFilterType, DamosQuotaGoalMetric
from damon.modules.loader import Loader, find_module
from damon.modules.module import Module
from damon.workload.model import (
    Access,
    Area,
    Event,
    MachineSpec,
    Node,
    Pattern,
    Phase,
    PhaseEvent,
    ProcessSpec,
    Swap,
    Workload,
)
from tests.fakes import FakeMachine, FakeSpace
from tests.modules.loaded import counts
from tests.refusals import refused

MIB = 1 << 20
SHORT = {"wsse": "damon_sample_wsse", "prcl": "damon_sample_prcl", "mtier": "damon_sample_mtier"}
OF_A_PROCESS = "target_pid int 0600 0\nenabled bool 0600 N"
OF_TIERS = """
node0_start_addr ulong 0600 0
node0_end_addr ulong 0600 0
node1_start_addr ulong 0600 0
node1_end_addr ulong 0600 0
node0_mem_used_bp ulong 0600 9970
node0_mem_free_bp ulong 0600 50
enabled bool 0600 N
detect_node_addresses bool 0600 N
"""
WORKLOAD = Workload(
    name="small",
    areas=(Area("cold", 24 * MIB), Area("hot", 8 * MIB), Area("other", 4 * MIB, process="other")),
    phases=(
        Phase("steady", 20_000_000, (Access("hot", 500_000.0, Pattern.SEQUENTIAL),)),
        Phase("after", 20_000_000, events=(PhaseEvent(Event.EXIT, "main"),)),
    ),
    machine=MachineSpec(memory=64 * MIB, swap=Swap(64 * MIB)),
)
#: What is hot came when node 0 was full. It is so little that sampling intervals grow: each tuning puts off what is due
#: after a second, so that with short intervals neither scheme acts.
TIERS = Workload(
    name="tiers",
    areas=(Area("cold", 58 * MIB), Area("hot", 2 * MIB)),
    phases=(Phase("steady", 1_000_000, (Access("hot", 1_000_000.0, Pattern.SEQUENTIAL),)),),
    machine=MachineSpec(memory=320 * MIB, nodes=(Node(64 * MIB), Node(256 * MIB))),
    process_specs=(ProcessSpec("main"),),
)


@pytest.fixture
def machine() -> Iterator[SimulatedMachine]:
    machine = SimulatedMachine(WORKLOAD, seed=5)
    yield machine
    machine.close()


def _load(machine: SimulatedMachine, name: str, *words: str) -> tuple[Loader, Module]:
    loader = Loader(Damon(machine, seed=5))
    module = loader.prepare(name, words)
    loader.load(module)
    return loader, module


def _resident(machine: SimulatedMachine) -> dict[str, int]:
    return {area.name: area.resident_bytes for area in machine.areas()}


@pytest.mark.parametrize(("name", "table"), [("wsse", OF_A_PROCESS), ("prcl", OF_A_PROCESS), ("mtier", OF_TIERS)])
def test_the_parameters_of_the_kernel_and_no_other(name: str, table: str) -> None:
    kind = find_module(name)
    assert kind is find_module(SHORT[name])
    module = kind(Damon(FakeMachine()))
    shown = [f"{p.spec.name} {p.spec.type} {p.spec.perm:04o} {p.show().strip()}" for p in module.parameters.values()]
    assert shown == table.strip().splitlines()
    assert all(p.spec.description for p in module.parameters.values())


def test_wsse_reports_the_working_set_and_changes_nothing(
    machine: SimulatedMachine, caplog: pytest.LogCaptureFixture
) -> None:
    before = _resident(machine)
    with caplog.at_level(logging.INFO, "damon.damon_sample_wsse"):
        loader, module = _load(machine, "wsse", f"target_pid={machine.pids['main']}", "enabled=Y")
        machine.clock.sleep_us(10_000_000)
    found = counts(module)
    assert found["wss"] == pytest.approx(8 * MIB, rel=0.05)
    assert found["wss_min"] <= found["wss_mean"] <= found["wss_max"] <= 32 * MIB
    assert f"wss: {found['wss']}" in caplog.messages
    assert len(caplog.messages) == pytest.approx(99, abs=1), "one an aggregation"
    assert module.state() == f"active; working set {found['wss'] / MIB:.1f} MiB"
    assert module.progress() is None
    assert _resident(machine) == before
    loader.unload_all()
    assert (module.state(), counts(module)["wss"]) == ("off", found["wss"])


def test_prcl_reclaims_cold_memory_of_its_process_only(machine: SimulatedMachine) -> None:
    loader, module = _load(machine, "prcl", f"target_pid={machine.pids['main']}", "enabled=Y")
    machine.clock.sleep_us(4_900_000)
    assert _resident(machine) == {"cold": 24 * MIB, "hot": 8 * MIB, "other": 4 * MIB}, "not cold for 5 s yet"
    machine.clock.sleep_us(3_000_000)
    resident = _resident(machine)
    assert resident["cold"] <= 0.05 * 24 * MIB
    assert (resident["hot"], resident["other"]) == (8 * MIB, 4 * MIB)
    tried, applied = module.progress() or (0, 0)
    assert tried >= applied >= 0.95 * 24 * MIB
    assert (counts(module)["sz_tried"], counts(module)["sz_applied"]) == (tried, applied)
    assert counts(module)["wss"] == pytest.approx(8 * MIB, rel=0.05)
    loader.unload_all()


def test_prcls_scheme() -> None:
    damon = Damon(FakeMachine(processes=[FakeSpace()]))
    loader = Loader(damon)
    module = loader.prepare("prcl", ["target_pid=7", "enabled=Y"])
    loader.load(module)
    assert module.ctx is not None
    (scheme,) = module.ctx.schemes
    assert scheme.action is DamosAction.PAGEOUT
    assert scheme.pattern == DamosAccessPattern(4096, ULONG_MAX, 0, 0, 50, U32_MAX)
    assert (scheme.apply_interval_us, scheme.quota.sz, scheme.quota.ms, scheme.ops_filters) == (0, 0, 0, [])
    assert module.ctx.attrs.ops_update_interval == 60_000_000
    assert module.needs() == ("vaddr", ("pageout",))
    loader.unload_all()


@pytest.mark.parametrize("name", ["wsse", "prcl"])
def test_enabled_stays_when_the_process_ends(machine: SimulatedMachine, name: str) -> None:
    loader, module = _load(machine, name, f"target_pid={machine.pids['main']}", "enabled=Y")
    enabled = module.parameters["enabled"]
    machine.clock.sleep_us(20_500_000)
    assert (module.running, enabled.show(), module.state()) == (False, "Y\n", "off: the process has ended")
    module.parameters["target_pid"].store(str(machine.pids["other"]))
    enabled.store("Y")
    assert not module.running, "it is on already"
    enabled.store("N")
    assert enabled.show() == "N\n"
    enabled.store("Y")
    assert module.running
    assert module.ctx is not None
    assert module.ctx.targets[0].pid == machine.pids["other"]
    loader.unload_all()
    assert loader.damon.nr_running_ctxs == 0


@pytest.mark.parametrize("name", ["wsse", "prcl"])
@pytest.mark.parametrize("pid", ["0", "-1", "77"])
def test_a_process_that_does_not_exist_is_refused(machine: SimulatedMachine, name: str, pid: str) -> None:
    loader, module = _load(machine, name, f"target_pid={pid}")
    with pytest.raises(DamonError, match=f"^target_pid: {pid}: ") as caught:
        module.parameters["enabled"].store("Y")
    assert caught.value.errno == errno.EINVAL
    with pytest.raises(DamonError, match=f"^target_pid: {pid}: "):
        module.check()
    assert (module.parameters["enabled"].show(), loader.damon.nr_running_ctxs) == ("N\n", 0)


@pytest.mark.parametrize("name", ["wsse", "prcl", "mtier"])
def test_they_start_exclusively(machine: SimulatedMachine, name: str) -> None:
    words = {"mtier": ("node0_end_addr=4194304", "node1_end_addr=4194304")}
    damon = Damon(machine, seed=5)
    loader, other = Loader(damon), damon.new_ctx()
    damon.select_ops(other, "paddr")
    damon.start([other])
    module = loader.prepare(name, [*words.get(name, (f"target_pid={machine.pids['main']}",)), "enabled=Y"])
    with refused(errno.EBUSY):
        loader.load(module)
    assert (module.parameters["enabled"].show(), damon.nr_running_ctxs) == ("N\n", 1)
    damon.stop()
    module.parameters["enabled"].store("Y")
    with refused(errno.EBUSY):
        damon.start([other])
    module.exit()


def test_mtier_moves_hot_memory_to_node_0_and_cold_memory_away() -> None:
    machine = SimulatedMachine(TIERS, seed=1)
    words = ("detect_node_addresses=Y", "node0_mem_free_bp=3000", "enabled=Y")
    loader, module = _load(machine, "mtier", *words)
    before = {area.name: area.node_bytes for area in machine.areas()}
    assert before["hot"] == (0, 2 * MIB)
    machine.clock.sleep_us(120_000_000)
    after = {area.name: area.node_bytes for area in machine.areas()}
    assert after["hot"] == (2 * MIB, 0)
    moved = counts(module)
    assert after["cold"][1] - before["cold"][1] == pytest.approx(moved["demote_sz_applied"], abs=MIB)
    assert moved["promote_sz_applied"] >= 2 * MIB
    assert moved["promote_sz_tried"] + moved["demote_sz_tried"] == (module.progress() or (0, 0))[0]
    free, total = machine.node_mem(0) or (0, 1)
    assert 0.25 <= free / total <= 0.6, "until 30 % are free"
    assert loader.damon.nr_running_ctxs == 2
    loader.unload_all()
    assert loader.damon.nr_running_ctxs == 0
    machine.close()


def test_mtiers_schemes() -> None:
    machine = SimulatedMachine(TIERS, seed=1)
    loader, module = _load(machine, "mtier", "detect_node_addresses=Y", "node0_mem_free_bp=70", "enabled=Y")
    promoting, demoting = module.ctxs
    for ctx, promotes, nid in ((promoting, True, 1), (demoting, False, 0)):
        assert ctx.attrs.intervals_goal == DamonIntervalsGoal(400, 3, 5000, 10_000_000)
        (scheme,) = ctx.schemes
        assert scheme.action is (DamosAction.MIGRATE_HOT if promotes else DamosAction.MIGRATE_COLD)
        least, most = (1, U32_MAX) if promotes else (0, 0)
        assert scheme.pattern == DamosAccessPattern(4096, ULONG_MAX, least, most, 0, U32_MAX)
        quota, (goal,) = scheme.quota, scheme.quota.goals
        assert (quota.ms, quota.sz, quota.reset_interval) == (0, 200 * MIB, 1000)
        assert (quota.weight_sz, quota.weight_nr_accesses, quota.weight_age) == (0, 100, 100)
        metrics = DamosQuotaGoalMetric.NODE_MEM_USED_BP, DamosQuotaGoalMetric.NODE_MEM_FREE_BP
        assert (goal.metric, goal.target_value, goal.nid) == (metrics[1 - promotes], 9970 if promotes else 70, 0)
        assert scheme.ops_filters == [DamosFilter(DamosFilterType.YOUNG, matching=True, allow=promotes)]
        assert (scheme.apply_interval_us, scheme.target_nid) == (1_000_000, 1 - nid)
        spans = [span for span in machine.node_spans() if span[2] == nid]
        assert (ctx.targets[0].regions[0].start, ctx.targets[0].regions[-1].end) == (spans[0][0], spans[-1][1])
    loader.unload_all()
    machine.close()


@pytest.mark.parametrize(
    ("words", "named"),
    [
        ((), "node1_start_addr, node1_end_addr: 0-0: "),
        (("node1_end_addr=4096",), "node0_start_addr, node0_end_addr: 0-0: "),
        (("node1_start_addr=8192", "node1_end_addr=4096"), "node1_start_addr, node1_end_addr: 8192-4096: "),
        (("detect_node_addresses=Y",), "detect_node_addresses: Y: NUMA node 1 "),
        (("node0_end_addr=4096", "node1_end_addr=4096", "node0_mem_used_bp=0"), "node0_mem_used_bp: 0: "),
        (("node0_end_addr=4096", "node1_end_addr=4096", "node0_mem_free_bp=0"), "node0_mem_free_bp: 0: "),
    ],
)
def test_what_mtier_refuses(machine: SimulatedMachine, words: tuple[str, ...], named: str) -> None:
    """ENOMEM whatever it is, as in the kernel."""
    loader, module = _load(machine, "mtier", *words)
    for attempt in (module.check, lambda: module.parameters["enabled"].store("Y")):
        with pytest.raises(DamonError, match=f"^{named}") as caught:
            attempt()
        assert caught.value.errno == errno.ENOMEM
    assert (module.parameters["enabled"].show(), loader.damon.nr_running_ctxs) == ("N\n", 0)
