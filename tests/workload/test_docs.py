# SPDX-License-Identifier: GPL-2.0-only
"""The examples in the documentation of workload files are ones that can be played."""

from __future__ import annotations

import re
from pathlib import Path

from damon.mm.sim import SimulatedMachine
from damon.workload.arrivals import MAX_STARTS
from damon.workload.expand import MAX_PHASES
from damon.workload.load import parse_workload
from damon.workload.templates import MAX_AREAS
from damon.workload.timeline import MAX_ACCESSES
from damon.workload.tracefile.form import TracedArea
from damon.workload.yaml12 import compose, plain
from tests.workload.traces import write

PAGE = Path(__file__).parents[2] / "docs/reference/workload.md"


def test_the_documented_file_runs() -> None:
    found = re.search(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert found is not None
    sim = SimulatedMachine(parse_workload(plain(compose(found[1]))), 1)
    sim.clock.sleep_us(100_000)
    assert [area.mapped for area in sim.areas()] == [True, True]
    assert len({nid for _, _, nid in sim.node_spans()}) == 2
    assert sim.memcg_id("/web") == 1


def test_every_documented_file_is_valid(tmp_path: Path) -> None:
    """The trace files that one of them names have two minutes."""
    for name in ("web.trace", "batch.trace"):
        areas = [TracedArea("heap", 0, 0, 4, mapped=((0, 120 * 10**9),))]
        write(tmp_path / name, [("p", 4, [])], areas, 120 * 10**9)
    texts = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert len(texts) == 3
    for text in texts:
        workload = parse_workload(plain(compose(text)), directory=tmp_path)
        assert all(phase.accesses for phase in workload.phases)


def test_the_documented_bounds_are_those_of_the_code() -> None:
    text = " ".join(PAGE.read_text().split())
    assert f"at most {MAX_AREAS} areas and parts, {MAX_PHASES} phases, and {MAX_ACCESSES} accesses and events" in text
    assert f"starts at most {MAX_STARTS} processes" in text
