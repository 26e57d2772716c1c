# SPDX-License-Identifier: GPL-2.0-only
"""damo's JSON: damo, as it is published, starts it; the tree then holds what the policy asks for."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.damond.conftest import Damond
from tests.export.results import CASES, POLICIES, asked, contexts, export, exported, given, outcome, outcome_of_policy
from tests.kernel.trees import built

DAMO = Path(sys.executable).parent / "damo"


@pytest.mark.skipif(os.geteuid() != 0, reason="damon exec needs root")
@pytest.mark.skipif(not DAMO.exists(), reason="damo is not installed")
@pytest.mark.parametrize(("policy", "workload"), CASES)
def test_damo_starts_it(policy: str, workload: str, started: Callable[[str], Damond], tmp_path: Path) -> None:
    machine = started(workload)
    wanted = asked(policy, workload, lost={"max_nr_snapshots": 0})  # damo 3.4.3 does not read it
    pid = ["--pid", str(machine.pid)] if wanted[0]["ops"] == "vaddr" else []
    file = exported(policy, "damo-json", workload, tmp_path / "policy.json", *pid)
    assert "Traceback" not in machine.said(f"cd $HOME; damo start {file}")
    assert given(machine.admin, workload, {machine.pid: 1000}) == wanted
    states = [(machine.admin / f"kdamonds/{index}/state").read_text() for index in range(len(wanted))]
    assert states == ["on\n"] * len(wanted)
    # What it made of the file does what the policy does, with the kernel's C as well.
    admin, pids = machine.admin, {machine.pid: 1000}
    for library in (None, built()):
        found = outcome(workload, library, lambda kernel: contexts(admin, kernel, pids))
        assert found == outcome_of_policy(POLICIES / f"{policy}.py", workload, library)
    machine.said("cd $HOME; damo stop")


def test_processes_and_memory_of_another_machine(capsys: pytest.CaptureFixture[str]) -> None:
    assert export("proactive_reclaim", "damo-json", "--pid", "4711") == 0
    out, err = capsys.readouterr()
    assert (json.loads(out)["kdamonds"][0]["contexts"][0]["targets"][0]["pid"], err) == ("4711", "")
    assert export("goals", "damo-json", "--ram", "0x100000-0x200000000") == 0
    out, err = capsys.readouterr()
    (target,) = json.loads(out)["kdamonds"][0]["contexts"][0]["targets"]
    assert target["regions"] == [{"start": str(1 << 20), "end": str(8 << 30)}]
    assert "--ram" not in err
    assert export("goals", "damo-json") == 0
    err = capsys.readouterr().err
    assert "give --ram START-END" in err
    assert "schemes/1: max_nr_snapshots 1000: damo drops it" in err
    assert export("proactive_reclaim", "damo-json") == 0
    assert "give --pid for each target" in capsys.readouterr().err
    assert export("proactive_reclaim", "damo-json", "--pid", "1", "--pid", "2") == 2
    assert "--pid: 2 are given: the policy has 1 processes; give each, in order" in capsys.readouterr().err
    assert export("own_parts", "damo-json", "--pid", "7") == 0
    assert len(json.loads(capsys.readouterr().out)["comments"]) == 4
