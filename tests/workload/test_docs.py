# SPDX-License-Identifier: GPL-2.0-only
"""The example in the documentation of workload files is one that can be played."""

from __future__ import annotations

import re
from pathlib import Path

from damon.mm.sim import SimulatedMachine
from damon.workload.load import parse_workload
from damon.workload.yaml12 import compose, plain

PAGE = Path(__file__).parents[2] / "docs/reference/workload.md"


def test_the_documented_file_runs() -> None:
    found = re.search(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert found is not None
    sim = SimulatedMachine(parse_workload(plain(compose(found[1]))), 1)
    sim.clock.sleep_us(100_000)
    assert [area.mapped for area in sim.areas()] == [True, True]
    assert len({nid for _, _, nid in sim.node_spans()}) == 2
    assert sim.memcg_id("/web") == 1
