# SPDX-License-Identifier: GPL-2.0-only
"""damo, as it is published, on real page tables behind damond, in a kernel that has no DAMON of its own."""

from __future__ import annotations

import json
import re
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import prometheus_client
import pytest

from tests.vm import damo, trees
from tests.vm.checks import complaints
from tests.vm.damo import Damo
from tests.vm.job import COUNTED, HOT_COLD, PROJECT, PYTHON, RunningWorkload, pause, start_damond, workload
from tests.waiting import until
from vmtest import Guest, Tree

pytestmark = [
    pytest.mark.guest(memory="1G", swap="zram:512M", kernel="page-idle-no-damon", **COUNTED),
]

MIB = 1 << 20


@pytest.fixture(scope="module")
def guest_trees() -> tuple[Tree, ...]:
    package = Path(prometheus_client.__file__).parent
    return (*trees.project(), damo.tree(), Tree(package, f"{PROJECT}/{package.name}"))


@pytest.fixture(scope="module")
def running(shared_guest: Guest) -> Iterator[RunningWorkload]:
    """A workload, and a damond; the kernel has nothing of DAMON."""
    assert shared_guest.run("ls -d /sys/kernel/mm/damon /sys/module/damon* 2>/dev/null | wc -l").text == "0\n"
    with workload(shared_guest, HOT_COLD) as started:
        start_damond(shared_guest, "--metrics", "/run/damond/metrics")
        yield started
    assert "Traceback" not in shared_guest.run(["cat", "/tmp/damond.log"]).text


@pytest.fixture(scope="module")
def call(running: RunningWorkload) -> Iterator[Damo]:
    """damo where damond's files lie over the kernel's."""
    calls = Damo(running.guest)
    yield calls
    calls.close()


def _regions(said: str) -> list[tuple[int, int, float]]:
    """Start, size and hertz of each line of ``damo report access --raw_number``."""
    rows = re.findall(r"^\d+ +addr (\d+) +size (\d+) +access ([\d.]+) ", said, re.MULTILINE)
    return [(int(start), int(size), float(rate)) for start, size, rate in rows]


#: Looks at what is accessed, and seconds of the guest's between: a look costs more than the time it waits.
ATTEMPTS = 6
LOOK_S = 12


def _share(said: str, area: tuple[int, int]) -> tuple[int, int]:
    """Accessed bytes within and without ``area``."""
    hot = [(start, size) for start, size, rate in _regions(said) if rate > 0]
    inside = sum(max(0, min(start + size, area[1]) - max(start, area[0])) for start, size in hot)
    return inside, sum(size for _, size in hot) - inside


@pytest.mark.long
def test_a_process_is_monitored_and_tuned(running: RunningWorkload, call: Damo) -> None:
    hot = running.areas["hot"]
    target = ("--ops", "vaddr", "--target_pid", running.pid, "--monitoring_nr_regions_range", 10, 50)
    call("start", *target)
    inside, outside = 0, 0
    for _ in range(ATTEMPTS):  # until regions have found the area's edges
        pause(running.guest, LOOK_S)
        inside, outside = _share(call("report", "access", "--raw_number"), hot)
        if inside > 24 * MIB and outside < 16 * MIB:
            break
    intervals = ("--monitoring_intervals", "10ms", "200ms", "2s")
    call("tune", *target, *intervals, "--damos_action", "stat", "--damos_access_rate", "10%", "100%")
    status = call("report", "damon")
    call("stop")
    print(f"  accessed: {inside / MIB:.1f} of 32 MiB in the hot area, {outside / MIB:.1f} MiB elsewhere")
    assert inside > 24 * MIB
    assert outside < 16 * MIB
    assert "intervals: sample 10 ms, aggr 200 ms, update 2 s" in status
    assert f"pid: {running.pid}\n" in status


@pytest.mark.long
def test_a_part_is_monitored(running: RunningWorkload, call: Damo) -> None:
    start, end = running.areas["hot"]
    middle = (start + end) // 2
    call("start", "--ops", "fvaddr", "--target_pid", running.pid, "--regions", f"{start}-{middle}")
    pause(running.guest, 1.5)
    fixed = call("report", "access", "--raw_number")
    call("stop")
    assert sum(size for _, size, _ in _regions(fixed)) == middle - start
    assert _share(fixed, (start, end))[0] > 0.8 * (middle - start)


def test_a_recording(running: RunningWorkload, call: Damo) -> None:
    regions = ("--monitoring_nr_regions_range", 10, 200)
    call("record", "--ops", "vaddr", "--target_pid", running.pid, *regions, "--timeout", 8, "-o", "data")
    wss = call("report", "wss", "-i", "data", "--raw_number", "--exclude_samples", 5)
    low, high = min(running.areas.values())[0], max(running.areas.values())[1]
    # Left to itself, damo draws what is hottest by the byte, which can be the stack.
    where = ("--address_range", low, high, "--abs_addr")
    heat = call("report", "heatmap", "-i", "data", "--output", "raw", "--resol", 3, 64, *where)
    median = re.search(r"^ *50 +(\d+) ", wss, re.MULTILINE)
    assert median, wss
    assert int(median[1]) == pytest.approx(32 * MIB, rel=0.4)
    cells = [tuple(map(float, line.split())) for line in heat.splitlines() if line[:1].isdigit()]
    start, end = running.areas["hot"]
    hot, cold = [
        statistics.fmean(value for _, address, value in cells if (start <= address < end) is wanted)
        for wanted in (True, False)
    ]
    assert len(cells) == 3 * 64
    print(f"  heat: {hot:.1f} in the hot area, {cold:.2f} in the cold one")
    assert hot > 3 * cold


#: Prints what damond serves at the socket of ``--metrics``.
SCRAPE = """
import socket
client = socket.socket(socket.AF_UNIX)
client.connect("/run/damond/metrics")
client.sendall(b"GET /metrics HTTP/1.0\\r\\n\\r\\n")
print(client.makefile("rb").read().partition(b"\\r\\n\\r\\n")[2].decode())
"""


def test_top_and_metrics(running: RunningWorkload, call: Damo) -> None:
    hot = running.areas["hot"]
    call("start", "--ops", "fvaddr", "--target_pid", running.pid, "--regions", f"{hot[0]}-{hot[1]}",
         "--damos_action", "stat")  # fmt: skip
    labels = '{action="stat",context="0",kdamond="0",scheme="0"}'

    def metric(name: str) -> float:
        found = re.search(rf"^{re.escape(name)} (\S+)$", scraped(), re.MULTILINE)
        return float(found[1]) if found else 0.0

    def scraped() -> str:
        return running.guest.run([PYTHON, "-c", SCRAPE]).check().text

    until(lambda: metric("damon_scheme_tried_bytes_total" + labels) > 0)
    until(lambda: metric('damon_context_working_set_bytes{context="0",kdamond="0"}') > 0.8 * (hot[1] - hot[0]))
    assert metric('damon_context_monitored_bytes{context="0",kdamond="0"}') == hot[1] - hot[0]
    assert metric('damon_kdamond_cpu_seconds_total{kdamond="0"}') > 0
    command = [PYTHON, "-m", "damon.cli.main", "top", "--once"]
    found = json.loads(running.guest.run([*command, "--json", "--regions", "1000"]).check().text)
    table = running.guest.run(command).check().text
    call("stop")
    print(table)
    (kdamond,) = [one for one in found["kdamonds"] if one["name"] == "0"]
    (target,) = kdamond["contexts"][0]["targets"]
    assert (found["virtual"], kdamond["running"], target["pid"]) == (False, True, running.pid)
    assert (target["regions"][0]["start"], target["regions"][-1]["end"]) == hot
    assert len(target["regions"]) == target["nr_regions"]
    assert "0/0" in table


def _pages(running: RunningWorkload) -> dict[str, Any]:
    return {area: row["present"] / row["pages"] for area, row in running.pages().items()}


def test_a_scheme_on_physical_memory(running: RunningWorkload, call: Damo) -> None:
    access = ("--damos_access_rate", "0%", "0%", "--damos_age", "2s", "max")
    quota = ["--damos_quotas", "0s", "32M", "1s", "0%", "30%", "70%"]
    call("start", "--ops", "paddr", "--damos_action", "pageout", *access, *quota, "--damos_filter", "allow", "anon")
    pause(running.guest, 5)
    until(lambda: _pages(running)["cold"] < 0.95)
    quota[2] = "24M"
    call("tune", "--ops", "paddr", "--damos_action", "pageout", *access, *quota, "--damos_filter", "allow", "anon")
    said = call("report", "damon")
    call("stop")
    assert "action: pageout per aggr interval" in said
    assert "0 ns / 24.000 MiB / 24.000 MiB per 1 s" in said
    pages = _pages(running)
    print(f"  in memory: cold {pages['cold']:.0%}, hot {pages['hot']:.0%}")
    assert pages["hot"] > 0.95


def _parameters(said: str) -> dict[str, str]:
    return dict(line.split(": ") for line in said.splitlines())


def test_modules(running: RunningWorkload, call: Damo) -> None:
    marks = ("--wmarks", 5000000, 1000, 999, 0)
    call("reclaim", "enable", "--min_age", 2000000, "--quota", 1000, 268435456, 1000, *marks)
    pause(running.guest, 3)  # what is cold has to age
    until(lambda: int(_parameters(call("reclaim", "status"))["bytes_reclaimed_regions"]) > 0)
    reclaim = _parameters(call("reclaim", "status"))
    call("reclaim", "disable")
    call("lru_sort", "enable", "--hot_thres_access_freq", 500, *marks)
    lru_sort = _parameters(call("lru_sort", "status"))
    call("lru_sort", "disable")
    call("module", "stat", "write", "enabled", "Y")
    pause(running.guest, 1)
    stat = _parameters(call("module", "stat", "read"))
    call("module", "stat", "write", "enabled", "N")
    assert (reclaim["enabled"], reclaim["min_age"]) == ("Y", "2000000")
    assert (lru_sort["enabled"], lru_sort["hot_thres_access_freq"]) == ("Y", "500")
    assert stat["enabled"] == "Y"
    assert len(stat["memory_idle_ms_percentiles"].split(",")) == 101
    assert _pages(running)["hot"] > 0.95
    assert complaints(running.guest) == []
