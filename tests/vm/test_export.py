# SPDX-License-Identifier: GPL-2.0-only
"""Exported policies at work in the kernel's own DAMON: as a script, by damo, and as C that is built in."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.export.results import POLICIES
from tests.vm import damo, exported, trees
from tests.vm.exported import FORMS, Exported
from tests.vm.job import HOT_COLD, PROJECT, PYTHON, ROOT, RunningWorkload, share, workload
from tests.waiting import HANG_S, until
from vmtest import Guest, GuestConfig, Tree
from vmtest.errors import BuildFailed, MachineLacks

pytestmark = [pytest.mark.guest(memory="1G", swap="zram:512M", cpus=2, snapshot=True)]

MIB = 1 << 20
SMALL = ROOT / "tests/vm/suites/hot-cold-small.yaml"
#: As workloads/tiering.yaml has them, so that ranges of nodes fit.
NODES: dict[str, Any] = {"memory": "1280M", "numa": 2, "numa_memory": "256M,1G", "numa_cpus": "2,0"}


@pytest.fixture(scope="module")
def guest_trees() -> tuple[Tree, ...]:
    return (*trees.project(), damo.tree())


@contextmanager
def _working(
    guest: Guest, policy: Path, form: str, load: Path = HOT_COLD
) -> Iterator[tuple[Exported, RunningWorkload]]:
    """A policy of its process or memory and a workload, both from their start on; both end with the block."""
    damo.install(guest)
    with workload(guest, load) as running:
        work = Exported(guest, policy, form, "tiering" if policy.stem == "tiering" else "hot-cold")
        work.start(running.pid if "proactive" in policy.stem else 0)
        try:
            yield work, running
        finally:
            work.stop()


@pytest.mark.long
def test_on_the_usual_kernel(guest: Guest, tmp_path: Path) -> None:
    """What 6.12 has: proactive reclaim, here after a second; then the same context by damo."""
    policy = tmp_path / "proactive_reclaim.py"
    text = (POLICIES / policy.name).read_text()
    assert text.count("min_age_region=50") == 1
    policy.write_text(text.replace("min_age_region=50", "min_age_region=10"))
    with _working(guest, policy, FORMS[0], SMALL) as (_, running):
        until(lambda: share(running.pages(after=1)["cold"], "present") < 0.2, lambda: str(running.pages()))
        assert share(running.pages()["hot"], "present") > 0.9
        made = _kernels_context(guest)
        guest.run("echo off >/sys/kernel/mm/damon/admin/kdamonds/0/state").check()
        guest.run("echo 0 >/sys/kernel/mm/damon/admin/kdamonds/nr_kdamonds").check()
        by_damo = Exported(guest, policy, FORMS[1], "hot-cold")
        by_damo.start(running.pid)
        assert _kernels_context(guest) == made
        until(lambda: _tried(guest) > 0)


def _kernels_context(guest: Guest) -> str:
    """Each file of the context that can be written, with its text."""
    files = "find /sys/kernel/mm/damon/admin/kdamonds/0/contexts -perm -600 -type f | sort"
    return guest.run(f"{files} | xargs grep -H .", timeout=HANG_S).check().text


def _tried(guest: Guest) -> int:
    kdamond = "/sys/kernel/mm/damon/admin/kdamonds/0"
    guest.run(f"echo update_schemes_stats >{kdamond}/state", timeout=HANG_S).check()
    return int(guest.run(f"cat {kdamond}/contexts/0/schemes/0/stats/nr_tried").text)


@pytest.mark.long
def test_what_the_kernel_lacks_is_refused() -> None:
    """Goals of nodes are newer than 6.12."""
    text = exported.text_of(POLICIES / "tiering.py", "sysfs-script", "tiering")
    with Guest(GuestConfig(kernel="page-idle-6.12", snapshot=True)) as guest:
        done = guest.run(["sh", "-s"], input=text.encode(), timeout=HANG_S)
        nr_kdamonds = guest.run("cat /sys/kernel/mm/damon/admin/kdamonds/nr_kdamonds").text
    assert done.returncode == 1
    assert "node_mem_used_bp: the kernel refuses it" in done.errors or "has no such file" in done.errors, done.errors
    assert nr_kdamonds == "0\n"


@pytest.fixture(scope="module")
def newest(guest_trees: tuple[Tree, ...]) -> Iterator[Guest]:
    """A guest of two nodes whose kernel has the policies' C built in."""
    try:
        image = exported.kernel()
    except (MachineLacks, BuildFailed) as error:
        pytest.fail(f"no kernel with exported C: {error}")
    config = GuestConfig(
        kernel=image, trees=guest_trees, env={"PYTHONPATH": PROJECT}, swap="zram:512M", cpus=2, **NODES
    )
    with Guest(config) as guest:
        guest.run("echo 0 >/proc/sys/kernel/numa_balancing").check()
        yield guest


def _nodes(running: RunningWorkload) -> dict[str, dict[str, int]]:
    """Pages of each area by node."""
    words = [PYTHON, f"{PROJECT}/tests/vm/guest/nodes.py", str(running.pid), *map(running.span, running.areas)]
    found = json.loads(running.guest.run(words, timeout=HANG_S).check().text)
    return dict(zip(running.areas, found, strict=True))


def _free(guest: Guest, node: int) -> float:
    """Share of a node's memory."""
    text = guest.run(f"cat /sys/devices/system/node/node{node}/meminfo").text
    total, free = (int(line.split()[3]) for line in text.splitlines()[:2])
    return free / total


@pytest.mark.long
@pytest.mark.timeout(4 * 3600)
@pytest.mark.parametrize("form", FORMS)
class TestOnTheNewestKernel:
    """The three policies as they are, by each form."""

    def test_proactive_reclaim(self, newest: Guest, form: str) -> None:
        with _working(newest, POLICIES / "proactive_reclaim.py", form) as (work, running):
            assert work.kdamonds() == 1
            until(lambda: share(running.pages(after=1)["cold"], "present") < 0.2, lambda: str(running.pages()))
            assert share(running.pages()["hot"], "present") > 0.95

    def test_tiering(self, newest: Guest, form: str) -> None:
        """What is hot came last, when node 0 was full of what is cold."""
        with _working(newest, POLICIES / "tiering.py", form) as (work, running):
            assert work.kdamonds() == 2
            hot = running.areas["hot"]
            wanted = 0.9 * (hot[1] - hot[0]) / 4096
            until(lambda: _nodes(running)["hot"].get("0", 0) > wanted, lambda: str(_nodes(running)))
            until(lambda: _nodes(running)["cold"].get("1", 0) > 8 * MIB // 4096, lambda: str(_nodes(running)))

    def test_goals(self, newest: Guest, form: str) -> None:
        """Node 0 is filled, and freed up to the half."""
        with _working(newest, POLICIES / "goals.py", form) as (work, running):
            assert work.kdamonds() == 1
            until(lambda: _free(newest, 0) > 0.48, lambda: f"{_free(newest, 0)} free, {running.pages()}")
            pages = running.pages()
            assert share(pages["hot"], "present") > 0.9
            assert pages["cold"]["swapped"] > 0
