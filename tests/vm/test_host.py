# SPDX-License-Identifier: GPL-2.0-only
"""The host engine on a real kernel's DAMON: contexts, modules, and kills at random moments."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from damon.records.read import read
from tests.vm.job import COUNTED, HOT_COLD, PROJECT, PYTHON, workload
from tests.waiting import HANG_S
from vmtest import Guest

pytestmark = pytest.mark.guest(memory="1G", swap="zram:512M", **COUNTED)

MIB = 1 << 20


def _run(guest: Guest, *words: str) -> dict[str, Any]:
    done = guest.run([PYTHON, "-m", *words], cwd=PROJECT, timeout=4 * HANG_S)
    result: dict[str, Any] = json.loads(done.check().text)
    return result


def test_the_kernels_parameters_are_shown(shared_guest: Guest) -> None:
    """Twice: the first one leaves nothing that keeps the second from it."""
    words = ("damon", "modinfo", "--engine", "host", "--json")
    for name in ("damon_reclaim", "lru_sort"):
        shown = _run(shared_guest, *words, name)
        assert shown["name"].endswith(name)
        parameters = {row["name"]: row for row in shown["parameters"]}
        assert parameters["enabled"]["default"] == "N"
        assert parameters["kdamond_pid"]["perm"] == "0400"
        assert parameters["sample_interval"]["unit"] == "us"
    assert {"min_age", "quota_ms"} & set(parameters) == {"quota_ms"}


def test_contexts_and_modules(shared_guest: Guest, capsys: pytest.CaptureFixture[str]) -> None:
    with workload(shared_guest, HOT_COLD) as running:
        found = _run(shared_guest, "tests.vm.guest.host_run", str(running.pid), running.span("hot"))
        pages = running.pages()
    assert found["modules"][:2] == ["damon_lru_sort", "damon_reclaim"]
    start, end = running.areas["hot"]
    hot = sum(
        min(end, b) - max(start, a) for a, b, accesses in found["regions"] if accesses >= 10 and a < end and b > start
    )
    assert hot > (end - start) // 2
    reclaimed = found["stats"]["sz_applied"]
    with capsys.disabled():
        print(f"\n  host engine: {hot / MIB:.0f} MiB of the hot area seen hot, {reclaimed / MIB:.0f} MiB reclaimed;"
              f" left of cold {pages['cold']['present'] * 4 / 1024:.0f} MiB, of hot"
              f" {pages['hot']['present'] * 4 / 1024:.0f} MiB")  # fmt: skip
    assert (found["reclaim"]["min_age"], found["reclaim"]["enabled"]) == ("2000000", "Y")
    assert int(found["reclaim"]["kdamond_pid"]) > 0
    assert pages["cold"]["present"] * 4096 < 180 * MIB  # of 224
    assert pages["hot"]["present"] * 4096 > 0.9 * (end - start)


RECORD = f"{PYTHON} -m damon.cli.main record --engine host --linux --quiet --sample-us 20000 --aggr-us 400000"
#: Killed while its instance of tracefs is there; then all is as it was.
KILLED = f"""
    cd /tmp
    {RECORD} -o killed & recorder=$!
    until [ -d /sys/kernel/tracing/instances/pydamon-* ]; do sleep 0.2; done
    kill -KILL $recorder
    wait $recorder
    while [ "$(ls /sys/kernel/tracing/instances)" ]; do sleep 0.2; done
    cat /sys/kernel/mm/damon/admin/kdamonds/nr_kdamonds
"""


def test_a_recording_of_the_kernels_events(
    shared_guest: Guest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with workload(shared_guest, HOT_COLD) as running:
        words = (
            f"mkdir /tmp/host && {RECORD} --ops vaddr --pid {running.pid} -o /tmp/host/data --duration 12 --events all"
        )
        shared_guest.run(words, cwd=PROJECT, timeout=4 * HANG_S).check()
    left = "ls /sys/kernel/tracing/instances; cat /sys/kernel/mm/damon/admin/kdamonds/nr_kdamonds"
    assert shared_guest.run(left).text == "0\n"
    shared_guest.get("/tmp/host", tmp_path / "host")
    snapshots = [snapshot.rows for _, snapshot in read(tmp_path / "host/data")]
    start, end = running.areas["hot"]
    hot = max(
        sum(min(end, b) - max(start, a) for a, b, count, *_ in rows if count >= 10 and a < end and b > start)
        for rows in snapshots
    )
    with capsys.disabled():
        print(f"\n  {len(snapshots)} snapshots, {hot / MIB:.0f} MiB of the hot area seen hot")
    assert len(snapshots) > 10
    assert hot > (end - start) // 2
    lines = (tmp_path / "host/data.trace").read_text().splitlines()
    assert len(lines) == sum(map(len, snapshots))
    assert all(" damon:damon_aggregated: target_id=0 nr_regions=" in line for line in lines)
    (kdamond,) = json.loads((tmp_path / "host/data.kdamonds").read_text())
    assert kdamond["contexts"][0]["targets"][0]["pid"] == str(running.pid)


@pytest.mark.long
def test_a_recording_of_the_kernels_module(shared_guest: Guest, tmp_path: Path) -> None:
    """Its worker's regions, and as a context what its parameters ask for."""
    command = (
        f"mkdir /tmp/module && {PYTHON} -m damon.cli.main record --engine host --linux --quiet -o /tmp/module/data"
        " --duration 6 --module damon_reclaim min_age=30000000 sample_interval=20000 aggr_interval=400000"
        " wmarks_high=1000 wmarks_mid=1000 wmarks_low=0"
    )
    shared_guest.run(command, cwd=PROJECT, timeout=4 * HANG_S).check()
    assert shared_guest.run("cat /sys/module/damon_reclaim/parameters/enabled").text == "N\n"
    shared_guest.get("/tmp/module", tmp_path / "module")
    snapshots = [snapshot.rows for _, snapshot in read(tmp_path / "module/data")]
    assert len(snapshots) > 5
    assert len(snapshots[-1]) >= 10  # it begins with one region
    (kdamond,) = json.loads((tmp_path / "module/data.kdamonds").read_text())
    (scheme,) = kdamond["contexts"][0]["schemes"]
    assert scheme["action"] == "pageout"
    assert kdamond["contexts"][0]["ops"] == "paddr"


def test_a_recorder_that_is_killed_leaves_nothing(shared_guest: Guest) -> None:
    assert shared_guest.run(["sh", "-c", f"PYTHONPATH={PROJECT}\n{KILLED}"], timeout=4 * HANG_S).check().text == "0\n"


@pytest.mark.parametrize("kills", [4, pytest.param(50, marks=pytest.mark.long)])
def test_killed_at_random_moments(kills: int, shared_guest: Guest, capsys: pytest.CaptureFixture[str]) -> None:
    """What others had prepared is there again, file by file, and no worker runs."""
    found = _run(shared_guest, "tests.vm.guest.host_kills", str(kills), "1")
    with capsys.disabled():
        print(f"\n  {found['kills']} kills at {len(set(found['moments']))} moments in {found['seconds']} s:"
              f" {found['interrupted']} with something to restore; {found['files']} files the same")  # fmt: skip
    assert found["different"] == {}
    assert found["interrupted"] > kills * 0.6
