# SPDX-License-Identifier: GPL-2.0-only
"""What the simulator predicts of a cgroup below its memory.max, against the guest kernel's own reclaim."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from damon.cli.main import main
from damon.results.frames import Frames
from damon.results.run import Run

pytestmark = [pytest.mark.guest, pytest.mark.long]  # which the command boots itself

#: 32 MiB with 20 to have, so that each access has a chance of over a third of being a refault.
WORKLOAD = """\
areas:
  data: {size: 32 MiB, memcg: box}
cgroups:
  box: {memory.max: 24 MiB}
phases:
  - {duration: 60s, access: [{area: data, rate: 2k}]}
machine: {memory: 1 GiB, swap: {size: 512 MiB}}
"""


def test_a_workload_below_memory_max(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The program's own memory is charged as well, and 64 pages at a time: the guest has a little less for the area."""
    (tmp_path / "box.yaml").write_text(WORKLOAD)
    (tmp_path / "policies.yaml").write_text("none: damon_reclaim.enabled=N\n")
    words = ["validate", str(tmp_path / "box.yaml"), "--policies", str(tmp_path / "policies.yaml"), "--duration", "20"]
    out = tmp_path / "out"
    words += ["-o", str(out), "--json", str(tmp_path / "found.json")]
    code = main([*words, "--require", "rss<5%,refaults<1.5"])
    said = capfd.readouterr()
    if code == 3 and not os.environ.get("VMTEST_REQUIRED"):
        pytest.skip(f"no guest: {said.err}")
    with capfd.disabled():
        print(f"\n{said.out}")
    assert code == 0, said.err
    (policy,) = json.loads((tmp_path / "found.json").read_text())["policies"]
    for side in ("predicted", "measured"):
        assert policy[side]["refaults"] > 5000
        assert policy[side]["mean_resident_bytes"] <= 24 << 20
    _check_frames(out / "none/measured")


def _check_frames(place: Path) -> None:
    """What was found of the guest's memory, by other counts of its kernel."""
    frames = Frames.read(place)
    assert frames is not None
    assert frames.free is not None
    free = {pfn for first, nr in frames.free for pfn in range(first, first + nr)}
    beside = {pfn for one in frames.beside for pfn in range(one.pfn, one.pfn + one.nr)}
    areas = {pfn for rows in frames.areas.values() for _, first, nr in rows for pfn in range(first, first + nr)}
    assert not free & beside
    assert not free & areas
    assert not beside & areas
    result = Run.open(place).result
    assert result is not None
    # A processor's list of free frames is in the kernel's count, and not among the blocks.
    assert len(free) * 4096 == pytest.approx(result["memory"]["free_bytes_start"], rel=0.05)
    assert frames.unrecorded_s > 0
    assert frames.late_us > 0
    assert frames.run_delay > 0
