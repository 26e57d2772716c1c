# SPDX-License-Identifier: GPL-2.0-only
"""The shell script: what the tree holds after it, and what is left when a write fails."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.damond.conftest import Damond
from tests.export.results import CASES, asked, exported, given

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="damon exec needs root")


@needs_root
@pytest.mark.parametrize(("policy", "workload"), CASES)
def test_the_context_is_the_policys(
    policy: str, workload: str, started: Callable[[str], Damond], tmp_path: Path
) -> None:
    script = exported(policy, "sysfs-script", workload, tmp_path / "policy.sh")
    machine = started(workload)
    wanted = asked(policy, workload)
    words = f"sh {script} {machine.pid if wanted[0]['ops'] == 'vaddr' else ''}"
    assert machine.said(words) == ""
    states = [(machine.admin / f"kdamonds/{index}/state").read_text() for index in range(len(wanted))]
    assert states == ["on\n"] * len(wanted)
    assert given(machine.admin, workload, {machine.pid: 1000}) == wanted
    assert "another user has DAMON's tree" in machine.said(words, 1)
    assert machine.nr == str(len(wanted))  # and what runs goes on
    assert machine.said(f"sh {script} stop") == ""
    assert machine.nr == "0"
    assert "nothing of it runs" in machine.said(f"sh {script} stop", 1)


@needs_root
def test_a_refused_write_leaves_nothing(started: Callable[[str], Damond], tmp_path: Path) -> None:
    script = exported("tiering", "sysfs-script", "tiering", tmp_path / "policy.sh")
    machine = started("tiering")
    text = script.read_text()
    head, second = text.split("place=$kdamonds/1/contexts", 1)
    for broken, why in {
        text.replace("migrate_hot", "migrate_warm", 1): "migrate_warm: the kernel refuses it: Invalid argument;",
        text.replace("nr_regions/min 10", "nr_regions/min 10\nput no_such_file 1", 1): "has no such file",
        # The first context runs by then.
        head + "place=$kdamonds/1/contexts" + second.replace("intervals/aggr_us 100000", "intervals/aggr_us 1", 1):
            "kdamonds/1/state: on: the kernel refuses it: Invalid argument;",
    }.items():  # fmt: skip
        script.write_text(broken)
        assert why in machine.said(f"sh {script}", 1)
        assert machine.nr == "0"


@needs_root
def test_processes_are_arguments(started: Callable[[str], Damond], tmp_path: Path) -> None:
    script = exported("proactive_reclaim", "sysfs-script", "hot-cold", tmp_path / "policy.sh")
    machine = started("hot-cold")
    assert "0: arguments; give PID" in machine.said(f"sh {script}", 1)
    assert "x1: it is not a process id" in machine.said(f"sh {script} x1", 1)
    assert "there is no such process" in machine.said(f"sh {script} 4999999", 1)
    assert machine.nr == "0"


def _run(script: Path, admin: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "DAMON_ADMIN": str(admin)}
    return subprocess.run(["sh", str(script)], env=environment, capture_output=True, text=True, check=False)


def test_a_kernel_with_one_list_of_filters(tmp_path: Path) -> None:
    """Plain files in place of an older kernel's tree: those that it has."""
    script = exported("goals", "sysfs-script", "hot-cold", tmp_path / "policy.sh")
    admin = tmp_path / "admin"
    new = re.compile(r"(core|ops)_filters/|obsolete|pause|addr_unit|fail_charge|goal_tuner|intervals_goal|snapshots")
    text = script.read_text()
    for path in re.findall(r"^\t?put (\S+)", text, re.MULTILINE):
        file = admin / "kdamonds/0/contexts/0" / path
        if not new.search(path):
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text("")
    for path in ("nr_kdamonds", "0/contexts/nr_contexts", "0/state"):
        (admin / "kdamonds" / path).write_text("0\n")
    lacking = _run(script, admin)
    assert lacking.returncode == 1
    assert "schemes/0/quotas/goal_tuner: temporal: this kernel's DAMON has no such file" in lacking.stderr
    assert (admin / "kdamonds/nr_kdamonds").read_text() == "0\n"
    older = {"tuner temporal": "tuner consist", "num 1 ": "num 0 ", "denom 10 ": "denom 0 ", "shots 1000": "shots 0"}
    for now, before in older.items():
        text = text.replace(now, before)
    script.write_text(text)
    done = _run(script, admin)
    assert (done.returncode, done.stderr) == (0, "")
    place = admin / "kdamonds/0/contexts/0/schemes/0"
    assert (place / "filters/2/type").read_text() == "anon\n"
    assert (place / "filters/2/allow").read_text() == "Y\n"
    assert not (place / "core_filters").exists()
    assert (admin / "kdamonds/0/state").read_text() == "on\n"
