# SPDX-License-Identifier: GPL-2.0-only
"""damon_stat on real page tables, beside the regions of the guest kernel's own DAMON and what the workload does."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.vm.job import COUNTED, HOT_COLD, PROJECT, PYTHON, damon_run, workload
from tests.waiting import HANG_S
from vmtest import Guest

pytestmark = pytest.mark.guest(memory="1G", swap="zram:512M", **COUNTED)

SECONDS = 18
#: Regions are split at random: in some runs none has an edge of the hot area when the last statistics are made, and a
#: region that is hot in part counts as a whole. Each look has a seed of its own; the kernel's has another one, too.
LOOKS = 3
MOST_IN_USE = 0.08
MOST_APART = 0.04


def _in_use(percentiles: list[int]) -> float:
    """The share of memory that is accessed: its idle time is negative."""
    return sum(ms < 0 for ms in percentiles[1:]) / 100


def _damon_stat(guest: Guest) -> dict[str, Any]:
    """The result of a run of damon_stat, at the latest the last of LOOKS."""
    for seed in range(LOOKS):
        run = [*damon_run(["damon_stat"], duration=SECONDS, out="-"), "--seed", str(seed)]
        result: dict[str, Any] = json.loads(guest.run(run, timeout=2 * HANG_S).check().text)
        if _in_use(result["modules"]["damon_stat"]["stats"]["memory_idle_ms_percentiles"]) <= MOST_IN_USE:
            break
    return result


def _kernels_damon(guest: Guest, in_use: float) -> dict[str, Any]:
    """What the kernel's own regions say, at the latest the last of LOOKS."""
    words = [PYTHON, "-m", "tests.vm.guest.kernel_idle", str(SECONDS)]
    for _ in range(LOOKS):
        kernel: dict[str, Any] = json.loads(guest.run(words, cwd=PROJECT, timeout=2 * HANG_S).check().text)
        if abs(in_use - kernel["in_use"]) < MOST_APART:
            break
    return kernel


def test_idle_memory_as_the_kernel_sees_it(guest: Guest, capsys: pytest.CaptureFixture[str]) -> None:
    """32 of 1024 MiB are in use, and the rest is idle for as long as it was watched."""
    with workload(guest, HOT_COLD) as running:
        ram = int(guest.run(["awk", "/MemTotal/ {print $2}", "/proc/meminfo"]).text) * 1024
        before = running.pages()
        result = _damon_stat(guest)
        stats = result["modules"]["damon_stat"]["stats"]
        percentiles = stats["memory_idle_ms_percentiles"]
        in_use = _in_use(percentiles)
        kernel = _kernels_damon(guest, in_use)
        after = running.pages()
    start, end = running.areas["hot"]
    with capsys.disabled():
        print(f"\n  memory in use: {in_use:.0%} by damon_stat, {kernel['in_use']:.1%} by the kernel's DAMON"
              f" ({kernel['regions']} regions), {(end - start) / ram:.1%} is the hot area")  # fmt: skip
        for percent, ms in kernel["idle_ms"].items():
            print(f"  {percent:>3} %: idle for {percentiles[int(percent)]} ms, the kernel's {ms} ms")
        print(f"  {stats['estimated_memory_bandwidth'] / 2**20:.1f} MiB/s, aggregation {stats['aggr_interval_us']} us;"
              f" {result['modules']['damon_stat']['state']}")  # fmt: skip
    assert before == after  # it changes nothing
    aggr_ms = stats["aggr_interval_us"] / 1000
    assert aggr_ms > 100  # little is accessed: intervals have grown
    assert percentiles == sorted(percentiles)
    assert -SECONDS * 1000 <= percentiles[0] < 0
    assert 0.01 <= in_use <= MOST_IN_USE
    assert abs(in_use - kernel["in_use"]) < MOST_APART
    # The last refresh was up to 5 s and a window before the end. A change of intervals, every third window, drops up to
    # a window of an age, a third of the time; the rest is for an emulated processor, where samples come late.
    least = 0.5 * (SECONDS * 1000 - 5000 - 2 * aggr_ms)
    for percent, ms in kernel["idle_ms"].items():
        assert ms > least, "not even the kernel's regions are idle"
        assert least < percentiles[int(percent)] < SECONDS * 1000 + aggr_ms
    accessed = stats["estimated_memory_bandwidth"] * aggr_ms / 1000
    assert 0 < accessed <= 20 * (in_use + 0.01) * ram
