# SPDX-License-Identifier: GPL-2.0-only
"""``damon record --damond``: what a running service finds out, recorded by another process."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from damon.records.read import read
from tests.damond.conftest import WORKLOAD, Damond, staged
from tests.waiting import HANG_S, until

MIB = 1 << 20


def _start(damond: Damond, path: Path, *words: str, before: str = "") -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "damon.cli.main", "record", "--damond", "-o", str(path), "--quiet", *words]
    script = ["sh", "-c", f'{before}exec "$@"', "sh"] if before else []
    return subprocess.Popen(
        [*script, *command], env=damond.environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def _snapshots(path: Path) -> int:
    return sum(1 for _ in read(path)) if path.exists() else 0


def _recorded(path: Path) -> bool:
    return _snapshots(path) > 20


@pytest.fixture
def working(start: Callable[..., Damond]) -> Damond:
    """Ten virtual seconds a second; one process is monitored."""
    damond = start("--sim", str(WORKLOAD), "--speed", "10").wait()
    one = staged(damond, {"targets/nr_targets": 1, "targets/0/pid_target": damond.pid, "schemes/nr_schemes": 1})
    (one / "state").write_text("on")
    return damond


def _siblings(path: Path) -> dict[str, Any]:
    names = ("kdamonds", "mem_footprint", "vmas")
    return {name: json.loads(path.with_name(f"{path.name}.{name}").read_text()) for name in names}


def test_what_the_workers_find_out(working: Damond, tmp_path: Path) -> None:
    path = tmp_path / "data"
    with _start(working, path, "--flush", "0.5", "--events", "damos_stat_after_apply_interval") as process:
        until(lambda: _snapshots(path) > 50)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=HANG_S)
    assert (process.returncode, out, err) == (0, "", "")
    snapshots = [snapshot for _, snapshot in read(path)]
    assert len(snapshots) > 50
    hot = sorted(
        sum(end - start for start, end, nr_accesses, *_ in snapshot.rows if nr_accesses > 10) for snapshot in snapshots
    )
    assert hot[len(hot) // 2] == pytest.approx(32 * MIB, rel=0.3)
    beside = _siblings(path)
    worker = working.status()["kdamonds"][0]["pid"]
    (kdamond,) = beside["kdamonds"]
    assert kdamond["pid"] == str(worker)
    assert kdamond["contexts"][0]["ops"] == "vaddr"
    assert int(kdamond["contexts"][0]["schemes"][0]["stats"]["nr_snapshots"]) > 0
    resident = beside["mem_footprint"][-1]["footprints"][0]["footprint"]["resident"] * 4096
    assert resident == 256 * MIB
    names = [vma["name"] for vma in beside["vmas"][0]["procvmas"][0]["vmas"]]
    assert {"hot", "cold"} <= set(names)
    lines = path.with_name("data.trace").read_text().splitlines()
    assert re.match(rf" +kdamond\.0 +{worker} .* damon:damos_stat_after_apply_interval: ctx_idx=0 ", lines[0])
    assert working.status()["kdamonds"][0]["state"] == "on"  # and goes on


def test_killed_and_interrupted_recorders(working: Damond, tmp_path: Path) -> None:
    for number in (signal.SIGKILL, signal.SIGINT):
        path = tmp_path / f"data{number}"
        with _start(working, path, "--flush", "0.5") as process:
            until(partial(_recorded, path))
            process.send_signal(number)
            _, err = process.communicate(timeout=HANG_S)
        assert (process.returncode, err) == (0 if number == signal.SIGINT else -9, "")
        assert _snapshots(path) > 20
        assert _siblings(path)["kdamonds"][0]["contexts"][0]["intervals"]["aggr_us"] == "100000"
    until(lambda: working.status()["kdamonds"][0]["state"] == "on")
    assert "Traceback" not in working.log.read_text()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_service_that_ends_meanwhile(working: Damond, tmp_path: Path, number: int) -> None:
    path = tmp_path / "data"
    with _start(working, path, "--flush", "0.5") as process:
        until(lambda: _snapshots(path) > 20)
        working.end(number)
        _, err = process.communicate(timeout=HANG_S)
    assert (process.returncode, err) == (0, "")
    assert _snapshots(path) > 20
    assert _siblings(path)["vmas"]


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small tmpfs needs root")
def test_a_full_disk(working: Damond, tmp_path: Path) -> None:
    """A tmpfs of 16 KiB that only the recorder sees."""
    (tmp_path / "small").mkdir()
    kept = tmp_path / "kept"
    before = f"mount -t tmpfs -o size=16k none {tmp_path}/small; "
    words = [sys.executable, "-m", "damon.cli.main", "record", "--damond", "-o", f"{tmp_path}/small/data", "--quiet"]
    after = f"; code=$?; cp {tmp_path}/small/data* {tmp_path}; touch {kept}; exit $code"
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", f'{before} "$@" --flush 0.2 --accesses-only{after}', "sh", *words],
        env=working.environment, capture_output=True, text=True, timeout=HANG_S, check=False,
    )  # fmt: skip
    assert kept.exists()
    assert done.returncode == 1, done
    assert re.fullmatch(
        r"damon: \S+/small/data: cannot be written: No space left on device; make room there; what was written before "
        r"is kept\n", done.stderr,
    )  # fmt: skip
    assert _snapshots(tmp_path / "data") > 2
    assert working.status()["kdamonds"][0]["state"] == "on"


def test_refused_before_a_file_is_there(working: Damond, tmp_path: Path) -> None:
    def said(*words: str) -> str:
        with _start(working, tmp_path / "data", *words) as process:
            _, err = process.communicate(timeout=HANG_S)
        assert (process.returncode, err.count("\n")) == (2, 1)
        assert list(tmp_path.glob("data*")) == []
        return err

    assert "--ops: 'vaddr': is not for --damond; leave it out" in said("--ops", "vaddr")
    assert "--module: [['damon_reclaim']]: is not for --damond" in said("--module", "damon_reclaim")
    assert "event: 'nonsense': is unknown" in said("--events", "nonsense")
    assert "no damond runs there" in said("--mount", "/nonexistent")
    (working.admin / "kdamonds/0/state").write_text("off")
    assert re.match(r"damon: workers: none of the damond at \S+ runs; start one \(damon param set ", said())
