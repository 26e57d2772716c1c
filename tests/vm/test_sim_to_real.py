# SPDX-License-Identifier: GPL-2.0-only
"""What the simulator predicts of a cgroup below its memory.max, against the guest kernel's own reclaim."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from damon.cli.main import main

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
    code = main([*words, "--require", "rss<5%,refaults<1.5", "--json", str(tmp_path / "found.json")])
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
