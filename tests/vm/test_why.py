# SPDX-License-Identifier: GPL-2.0-only
"""``damon why`` on runs of a guest's own memory: what user space cannot reach, beside the kernel's account of it."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from damon.cli.main import main
from damon.results.run import Run
from damon.results.why import Cause
from tests.vm.job import COUNTED, PROJECT, PYTHON, Helper
from tests.vm.test_main_job import Boot
from tests.waiting import HANG_S

pytestmark = pytest.mark.guest(memory="384M", swap="zram:256M", **{**COUNTED, "icount": 1})
HELD_MIB = 128
#: An aggregation takes as long as an emulated processor needs for it, about a second.
SECONDS = 10
#: So many runs at most until one has tried what is held twice: on a busy host, six of its seconds may have no try.
TRIES = 3
RECLAIM = (
    *("damon_reclaim", "min_age=2000000", "quota_ms=0", "quota_sz=0", "wmarks_high=1000", "wmarks_mid=1000"),
    *("wmarks_low=0", "sample_interval=20000", "aggr_interval=200000", "min_nr_regions=50", "max_nr_regions=200"),
)
#: Of each kind of memory: what the run calls it, how the sentence begins to name it, and a part of the remedy.
KINDS = {
    "locked": ("unevictable", "locked in memory", "munlock"),
    "shared": ("shared", "mapped by several processes", "--engine host"),
    "cached": ("unmapped", "of page cache that no process maps", "--engine host"),
}


def _recorded(boot_guest: Boot, kind: str, out: Path) -> list[dict[str, int]]:
    """A run beside so much memory of a kind: the kernel's accounts before and after it."""
    guest = boot_guest()
    words = [PYTHON, "-m", "damon.cli.main", "run", "--linux", "--duration", str(SECONDS), "--quiet"]
    words += ["--out", "/tmp/run", "--why", "--module", *RECLAIM]
    with closing(Helper(guest, [PYTHON, f"{PROJECT}/tests/vm/guest/holder.py", kind, str(HELD_MIB)])) as holder:
        before = json.loads(holder.ask("account"))
        guest.run(words, timeout=HANG_S).check()
        after = json.loads(holder.ask("account"))
        guest.get("/tmp/run", out)
    guest.close()
    return [before, after]


@pytest.mark.parametrize(
    "kind", ["locked", pytest.param("shared", marks=pytest.mark.long), pytest.param("cached", marks=pytest.mark.long)]
)
def test_memory_that_user_space_cannot_reach(
    boot_guest: Boot, tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    """The cause is found, and each kind of memory has the share that the kernel's flags give it."""
    name, words, remedy = KINDS[kind]
    for number in range(TRIES):
        place = tmp_path / f"run{number}"
        accounts = _recorded(boot_guest, kind, place)
        run: Any = Run.open(place).result
        if run["unreached_bytes"][name] > 2 * HELD_MIB << 20:
            break
    wanted = run["unreached_bytes"]["wanted"]
    assert run["unreached_bytes"][name] > 2 * HELD_MIB << 20, "it was tried once only"
    assert main(["why", str(place), "--json", str(tmp_path / "why.json")]) == 0
    said = capsys.readouterr().out
    (found,) = json.loads((tmp_path / "why.json").read_text())["schemes"]
    with capsys.disabled():
        print(f"\n  {kind}: {found['sentence']}\n  by the kernel: {accounts}")
    assert found["cause"] == Cause.UNREACHABLE.value
    assert found["sentence"].partition("the rest (")[2].partition("MiB ")[2].startswith(words)
    assert remedy in found["remedy"]
    assert " ".join(found["remedy"].split()) in " ".join(said.split())
    assert run["modules"]["damon_reclaim"]["applied_bytes"] < wanted / 10
    account = {key: sum(one[key] for one in accounts) / 2 for key in accounts[0]}
    assert kind != "locked" or account["unevictable"] >= account["locked"] >= HELD_MIB << 20
    whole = sum(account[key] for key in ("unevictable", "unmapped", "shared", "own"))
    # What is held is never accessed, and so tried each time; of the others what is in cold regions then.
    found_bytes = run["unreached_bytes"]
    assert found_bytes[name] / wanted >= account[name] / whole - 0.1
    for key in {"unevictable", "unmapped", "shared"} - {name}:
        most = account[key] / account[name]
        assert (most > 0.1) * most / 4 <= found_bytes[key] / found_bytes[name] <= most + 0.1, key
