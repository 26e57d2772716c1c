# SPDX-License-Identifier: GPL-2.0-only
"""``damon compare`` with guests: pydamon on real page tables, and the kernel's own DAMON."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from damon.cli.main import main
from tests.waiting import HANG_S, until
from vmtest.images import variants

pytestmark = pytest.mark.guest  # which the command boots itself

#: 600 MiB are free on the machine, before the workload comes; few touches, which an emulated processor makes in time.
WORKLOAD = """\
areas:
  cold: {size: 24 MiB}
  hot:  {size: 8 MiB}
phases:
  - {duration: 60s, access: [{area: hot, pattern: sequential, rate: 100k}]}
machine: {memory: 1 GiB, reserved: 400 MiB, swap: {size: 512 MiB}}
"""
#: Of 6.12 damon_reclaim does nothing, damon_lru_sort does.
MODULE = ["damon_lru_sort", "cold_min_age=800000", "hot_thres_access_freq=500", "quota_ms=500", "min_nr_regions=100",
          "sample_interval=40000", "aggr_interval=400000", "wmarks_high=1000", "wmarks_mid=1000",
          "wmarks_low=0"]  # fmt: skip
GUESTS = ["guest:pydamon", "guest:host"]
MIB = 1 << 20
SECONDS = 3


@pytest.fixture
def workload(tmp_path: Path) -> Path:
    path = tmp_path / "small.yaml"
    path.write_text(WORKLOAD)
    return path


def _boots(process: psutil.Process) -> bool:
    """Is it a guest's QEMU, and not one that is asked for its version?"""
    with suppress(psutil.Error):
        return "qemu" in process.name() and "-kernel" in process.cmdline()
    return False


def _words(workload: Path, *engines: str) -> list[str]:
    return ["compare", *engines, "--module", *MODULE, "--sim", str(workload), "--duration", str(SECONDS)]


def test_the_same_figures_on_three_machines(workload: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = workload.with_name("a.json")
    code = main([*_words(workload, "pydamon", *GUESTS), "--json", str(path)])
    said = capfd.readouterr()
    if code == 3 and not os.environ.get("VMTEST_REQUIRED"):
        pytest.skip(f"no guest: {said.err}")
    assert code == 0, said.err
    with capfd.disabled():
        print(f"\n{said.out}")
    runs: list[dict[str, Any]] = json.loads(path.read_text())["runs"]
    simulated, own, host = runs
    assert (own["engine"]["engine"], host["engine"]["engine"]) == ("pydamon", "host")
    chosen = variants.variant(variants.DEFAULT).chosen().name
    assert host["engine"]["version"].startswith(chosen.removeprefix("page-idle-"))
    for run in runs:
        assert run["applied_bytes"] > 0
        assert (run["hot_bytes"], run["hot_bytes_kept"]) == (8 * MIB, 8 * MIB)
        assert (run["reclaimed_bytes"], run["refaults"]) == (0, 0)
        assert run["memory"]["resident_bytes_start"] >= 32 * MIB
    for run in (own, host):
        assert run["slowdown"] > 0  # how much depends on the host
        assert run["kdamond_cpu_seconds"] > 0
        assert run["timing"]["seconds"] >= SECONDS
        assert list(run["missing"]) == ["difference"]
        # What the machine has reserved is not free in the guest either.
        assert abs(run["memory"]["free_bytes_start"] - simulated["memory"]["free_bytes_start"]) < 64 * MIB


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_no_guest_outlives_the_command(number: signal.Signals, workload: Path) -> None:
    command = [sys.executable, "-m", "damon", *_words(workload, *GUESTS)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        found: list[psutil.Process] = []

        def booting() -> bool:
            if process.poll() is None:
                children = psutil.Process(process.pid).children(recursive=True)
                found[:] = [child for child in children if _boots(child)]
            return bool(found) or process.poll() is not None

        until(booting)
        if process.poll() == 3 and not os.environ.get("VMTEST_REQUIRED"):
            pytest.skip("no guest")
        assert found, process.communicate()
        process.send_signal(number)
        process.communicate(timeout=HANG_S)
    assert process.returncode == (130 if number == signal.SIGTERM else -signal.SIGKILL)
    until(lambda: not any(child.is_running() for child in found))
