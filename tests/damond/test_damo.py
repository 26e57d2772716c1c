# SPDX-License-Identifier: GPL-2.0-only
"""damo, as it is published, on a simulated machine: its output, and the tree afterwards."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.damond.conftest import WORKLOAD, Damond, serving
from tests.waiting import until

DAMO = Path(sys.executable).parent / "damo"
pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="damon exec needs root"),
    pytest.mark.skipif(not DAMO.exists(), reason="damo is not installed"),
]

MIB = 1 << 20
#: Virtual seconds in a real one.
SPEED = 10


class Machine:
    """A damond whose workload has 32 MiB hot and 224 MiB cold, and commands inside of ``damon exec``."""

    def __init__(self, damond: Damond) -> None:
        self.damond, self.pid = damond, damond.pid

    def sh(self, script: str) -> str:
        return self.damond.sh(f"set -e; cd $HOME; {script}", shell="bash")[0]

    def after(self, seconds: float) -> None:
        """Returns when so many virtual seconds have passed: the service may be late on a busy machine."""
        end = self._virtual_s() + seconds
        until(lambda: self._virtual_s() >= end)

    def _virtual_s(self) -> float:
        return float(self.damond.status()["virtual_s"])

    def read(self, path: str) -> str:
        return (self.damond.admin / "kdamonds/0/contexts/0" / path).read_text().strip()


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    with serving(tmp_path_factory.mktemp("damo")) as start:
        damond = start("--sim", str(WORKLOAD), "--speed", str(SPEED)).wait()
        yield Machine(damond)
        damond.end()
    assert "Traceback" not in damond.log.read_text()


@pytest.fixture(autouse=True)
def stopped(machine: Machine) -> Iterator[None]:
    yield
    for state in machine.damond.admin.glob("kdamonds/*/state"):
        if state.read_text() == "on\n":
            state.write_text("off")


def test_what_damo_finds(machine: Machine) -> None:
    """Every feature that damo knows of the kernel's up to 7.x, and the machine's own memory."""
    said = json.loads(machine.sh("damo report sysinfo >/dev/null; cat .damo.sysinfo"))
    found = {feature["name"] for feature in said["avail_damon_features"]}
    wanted = {
        "sysfs/schemes_tried_regions", "sysfs/schemes_apply_interval", "sysfs/schemes_quota_goals",
        "sysfs/schemes_dests", "sysfs/intervals_goal", "sysfs/refresh_ms", "sysfs/addr_unit", "sysfs/obsolete_target",
        "sysfs/schemes_quota_goal_node_mem_used_free", "sysfs/schemes_quota_effective_bytes", "trace/damos_esz",
        "trace/damon_aggregated", "trace/damos_before_apply", "trace/damon_region_aggregated",
        "interface/damon_sysfs", "interface/damon_reclaim", "interface/damon_lru_sort", "interface/damon_stat",
    }  # fmt: skip
    assert wanted <= found, wanted - found
    assert machine.sh("cat /proc/iomem").splitlines()[-1].endswith("-3fffffff : System RAM")
    assert machine.sh("pidof main").split() == [str(machine.pid)]


def test_start_on_physical_memory_with_everything(machine: Machine) -> None:
    said = machine.sh(
        "damo start --ops paddr --monitoring_intervals 5ms 100ms 2s --monitoring_nr_regions_range 20 500 "
        "--damos_action pageout --damos_sz_region 4K max --damos_access_rate 0% 10% --damos_age 3s max "
        "--damos_apply_interval 200ms --damos_quotas 20ms 64M 1s 0% 30% 70% --damos_quota_goal some_mem_psi_us 10ms "
        "--damos_wmarks free_mem_rate 2s 990 900 1 --damos_filter reject anon "
        "--damos_action lru_prio --damos_access_rate 50% 100% --damos_filter allow addr 1048576 1073741824 "
        "--damos_nr_filters 1 1 --damos_nr_quota_goals 1 0; damo report damon --format json --raw; "
        "ps -o comm= -p $(cat /sys/kernel/mm/damon/admin/kdamonds/0/pid)"
    )
    for path, value in {
        "operations": "paddr", "monitoring_attrs/intervals/update_us": "2000000",
        "monitoring_attrs/nr_regions/min": "20",
        "schemes/0/action": "pageout", "schemes/0/access_pattern/sz/min": "4096",
        "schemes/0/access_pattern/nr_accesses/max": "2", "schemes/0/access_pattern/age/min": "30",
        "schemes/0/apply_interval_us": "200000", "schemes/0/quotas/ms": "20", "schemes/0/quotas/bytes": "67108864",
        "schemes/0/quotas/weights/nr_accesses_permil": "300", "schemes/0/quotas/weights/age_permil": "700",
        "schemes/0/quotas/goals/0/target_metric": "some_mem_psi_us", "schemes/0/quotas/goals/0/target_value": "10000",
        "schemes/0/watermarks/metric": "free_mem_rate", "schemes/0/watermarks/high": "990",
        "schemes/0/ops_filters/0/type": "anon", "schemes/1/action": "lru_prio",
        "schemes/1/core_filters/0/type": "addr", "schemes/1/core_filters/0/addr_end": "1073741824",
    }.items():  # fmt: skip
        assert machine.read(path) == value, path
    report, name = said.rsplit("\n", 2)[:2]
    assert name == "kdamond.0"
    (found,) = json.loads(report)
    assert found["state"] == "on"
    schemes = found["contexts"][0]["schemes"]
    assert [scheme["action"] for scheme in schemes] == ["pageout", "lru_prio"]
    assert [scheme["filters"][0]["filter_type"] for scheme in schemes] == ["anon", "addr"]


def _hot(said: str) -> tuple[int, int]:
    """Bytes that are accessed in nearly each sample, and all bytes, of ``damo report access --raw``."""
    rows = re.findall(r"^\d+ +addr (\d+) +size (\d+) +access ([\d.]+) ", said, re.MULTILINE)
    sizes = [(int(size), float(rate)) for _, size, rate in rows]
    return sum(size for size, rate in sizes if rate > 150), sum(size for size, _ in sizes)


def test_report_access_and_tune(machine: Machine) -> None:
    machine.sh(f"damo start --ops vaddr --target_pid {machine.pid}")
    machine.after(8)
    access = machine.sh("damo report access --raw_number")
    tuned = "--monitoring_intervals 10ms 200ms 4s --damos_action stat --damos_access_rate 50% 100%"
    machine.sh(f"damo tune --ops vaddr --target_pid {machine.pid} {tuned}")
    machine.after(8)
    status = machine.sh("damo report damon --format json --raw")
    hot, total = _hot(access)
    assert hot == pytest.approx(32 * MIB, rel=0.1)
    assert total > 256 * MIB
    found = json.loads(status)[0]["contexts"][0]
    assert found["intervals"] == {**found["intervals"], "sample_us": "10000", "aggr_us": "200000"}
    stats = found["schemes"][0]["stats"]
    tried = int(str(stats["sz_tried"]).replace(",", "")) / int(stats["nr_snapshots"])
    assert tried == pytest.approx(32 * MIB, rel=0.3)
    assert machine.damond.status()["kdamonds"][0]["sample_us"] == 10000  # the worker's own


def test_fixed_ranges(machine: Machine) -> None:
    hot = 0x70000E200000
    words = f"--ops fvaddr --target_pid {machine.pid} --regions {hot - 4 * MIB}-{hot + 4 * MIB}"
    machine.sh(f"damo start {words}")
    machine.after(5)
    accessed, total = _hot(machine.sh("damo report access --raw_number"))
    assert total == 8 * MIB
    assert accessed == pytest.approx(4 * MIB, rel=0.1)


def test_record_heatmap_and_working_set(machine: Machine) -> None:
    record = f"damo record --ops vaddr --target_pid {machine.pid} -o data"
    for timeout_s in (1.5, 15, 150):  # of the clock: the service may be late
        machine.sh(f"rm -f data; {record} --timeout {timeout_s}")
        records = json.loads(machine.sh("damo report access -i data --json"))
        assert len(records) == 1
        if len(records[0]["snapshots"]) > 20:
            break
    assert len(records[0]["snapshots"]) > 20
    wss, raw = machine.sh(
        "damo report wss -i data --raw_number; echo ==; damo report heatmap -i data --output raw --resol 4 64"
    ).split("==\n")
    median = re.search(r"^ *50 +(\d+) ", wss, re.MULTILINE)
    assert median, wss
    assert int(median[1]) == pytest.approx(32 * MIB, rel=0.15)
    cells = [tuple(map(float, line.split())) for line in raw.splitlines() if line[:1].isdigit()]
    heat: dict[float, float] = {}
    for _, address, value in cells:
        heat[address] = max(heat.get(address, 0), value)
    rows = [heat[address] for address in sorted(heat)]
    assert 5 <= sum(value > 0.5 * max(rows) for value in rows) <= 12  # an eighth of them, at the end
    assert max(range(len(rows)), key=rows.__getitem__) > 0.8 * len(rows)


def test_reclaim(machine: Machine) -> None:
    machine.sh("damo reclaim enable --min_age 2000000 --quota 100 268435456 1000 --wmarks 5000000 1000 999 0")
    machine.after(15)
    said = machine.sh(
        "damo reclaim status; echo ==; damo reclaim commit --min_age 3000000; damo reclaim disable; damo reclaim status"
    )
    status, after = (dict(line.split(": ") for line in part.splitlines()) for part in said.split("==\n"))
    assert (status["enabled"], status["min_age"], status["quota_sz"]) == ("Y", "2000000", "268435456")
    assert int(status["bytes_reclaimed_regions"]) > 200 * MIB
    assert (after["enabled"], after["kdamond_pid"], after["min_age"]) == ("N", "-1", "3000000")


def test_lru_sort_and_stat(machine: Machine) -> None:
    machine.sh("damo lru_sort enable --hot_thres_access_freq 500 --wmarks 5000000 1000 999 0")
    machine.after(10)
    sorted_by = machine.sh("damo lru_sort status; damo lru_sort disable; damo module stat write enabled Y")
    machine.after(15)
    measured = machine.sh("damo module stat read; damo module stat write enabled N")
    status, read = (dict(line.split(": ") for line in said.splitlines()) for said in (sorted_by, measured))
    assert status["enabled"] == "Y"
    assert int(status["bytes_lru_sorted_hot_regions"]) > 16 * MIB
    assert len(read["memory_idle_ms_percentiles"].split(",")) == 101
    assert int(read["estimated_memory_bandwidth"]) > 0


def test_stop(machine: Machine) -> None:
    kdamond = "/sys/kernel/mm/damon/admin/kdamonds/0"
    said = machine.sh(
        f"damo start --ops paddr --damos_action stat; cat {kdamond}/state; damo stop; cat {kdamond}/state {kdamond}/pid"
    )
    assert said == "on\noff\n-1\n"


LATER = {
    "sysfs/probe_preps", "sysfs/probe_prep_set_pgidle", "sysfs/probe_type_pgidle_unset",
    "sysfs/probe_type_pgidle_set", "sysfs/damos_filter_probe_hits_wsum", "sysfs/probe_type_hugepage_size",
}  # fmt: skip


def _found(machine: Machine) -> set[str]:
    said = json.loads(machine.sh("damo report sysinfo >/dev/null; cat .damo.sysinfo"))
    return {feature["name"] for feature in said["avail_damon_features"]}


def test_what_damo_finds_of_the_level_next(machine: Machine, tmp_path: Path) -> None:
    """What is merged for the release after 7.3 is there at that level only, and damo's options for it arrive."""
    found = _found(machine)
    assert found & LATER == set()
    with serving(tmp_path) as start:
        damond = start("--sim", str(WORKLOAD), "--level", "next").wait()
        later = Machine(damond)
        assert _found(later) - found == LATER
        later.sh(
            "damo start --ops paddr --probe --probe_prep set_pgidle --probe_filter allow pgidle_unset --probe_weight 3 "
            "--probe --probe_filter reject hugepage_size 2M 2M --probe_filter allow pgidle_set "
            "--damos_scheme --damos_action stat --damos_filter allow probe_hits_wsum 10 60"
        )
        for path, value in {
            "monitoring_attrs/probes/0/preps/0/prep_action": "set_pgidle",
            "monitoring_attrs/probes/0/filters/0/type": "pgidle_unset", "monitoring_attrs/probes/0/weight": "3",
            "monitoring_attrs/probes/1/preps/nr_preps": "0",
            "monitoring_attrs/probes/1/filters/0/type": "hugepage_size",
            "monitoring_attrs/probes/1/filters/0/min": "2097152",
            "monitoring_attrs/probes/1/filters/0/max": "2097152",
            "monitoring_attrs/probes/1/filters/1/type": "pgidle_set",
            "schemes/0/core_filters/0/type": "probe_hits_wsum", "schemes/0/core_filters/0/min": "10",
            "schemes/0/core_filters/0/max": "60",
        }.items():  # fmt: skip
            assert later.read(path) == value, path
        (said,) = json.loads(later.sh("damo report damon --format json --raw"))
        first = said["contexts"][0]["probes"][0]
        assert (first["preps"], first["weight"]) == ([{"prep_action": "set_pgidle"}], 3)
        assert said["state"] == "on"
        damond.end()
