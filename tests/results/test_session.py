# SPDX-License-Identifier: GPL-2.0-only
"""Recording from a program, and what notebooks show."""

from __future__ import annotations

from pathlib import Path

import pytest

import damon
from damon.errors import InvalidInput


def _context(machine: damon.Machine, kernel: damon.Damon) -> damon.DamonCtx:
    ctx = kernel.new_ctx()
    kernel.select_ops(ctx, "paddr")
    damon.add_memory(ctx)
    scheme = damon.Damos(
        action=damon.DamosAction.PAGEOUT, pattern=damon.DamosAccessPattern(max_nr_accesses=0, min_age_region=10)
    )
    ctx.schemes.append(scheme)
    return ctx


def test_an_open_ended_session(tmp_path: Path) -> None:
    """Recorded in memory and in a directory: the same, at any time, and after the end."""
    with damon.open_machine(sim="hot-cold", seed=1) as machine:
        kernel = damon.Damon(machine, seed=1)
        ctx = _context(machine, kernel)
        kernel.start([ctx])
        with damon.Recording(kernel, ctx) as memory:
            machine.clock.sleep_us(2_000_000)
            early = len(memory.run.table("machine"))
            assert memory.run.state == "running"
            machine.clock.sleep_us(2_000_000)
        kernel.stop()
        found = memory.run
    assert found.state == "complete"
    assert 0 < early < len(found.table("machine"))
    assert found.table("machine").columns["time_ns"][-1] == 4_000_000_000
    assert sum(1 for _ in found.snapshots()) > 30
    with damon.open_machine(sim="hot-cold", seed=1) as machine:
        kernel = damon.Damon(machine, seed=1)
        ctx = _context(machine, kernel)
        kernel.start([ctx])
        with damon.Recording(kernel, ctx, out=tmp_path / "run") as directory:
            machine.clock.sleep_us(4_000_000)
        kernel.stop()
    stored = damon.Run.open(tmp_path / "run")
    assert directory.run.state == stored.state == "complete"
    for name in ("machine", "schemes", "regions", "snapshots", "actions"):
        assert stored.table(name).columns == found.table(name).columns


def test_frames_and_tables() -> None:
    with damon.open_machine(sim="hot-cold", seed=1) as machine:
        kernel = damon.Damon(machine)
        ctx = _context(machine, kernel)
        kernel.start([ctx])
        with damon.Recording(kernel, ctx) as recording:
            machine.clock.sleep_us(1_000_000)
        table = recording.run.table("areas")
        frame, arrow = table.to_pandas(), table.to_arrow()
        kernel.stop()
    assert list(frame.columns) == arrow.column_names
    assert frame[frame.area == "hot"].resident_bytes.max() == 32 << 20


def test_what_a_notebook_shows_is_escaped() -> None:
    with damon.open_machine(sim="hot-cold", seed=1) as machine:
        kernel = damon.Damon(machine)
        ctx = _context(machine, kernel)
        for shown in (ctx, ctx.schemes[0], ctx.targets[0].regions):
            text = shown._repr_html_()
            assert text.startswith("<table><caption>")
            assert text.count("<tr>") == text.count("</tr>") > 1
        assert "pageout" in ctx._repr_html_()
    run = damon.Run({"request": {"command": "<script>x</script>"}}, lambda table: iter(()))
    assert "<script>" not in run._repr_html_()
    assert "&lt;script&gt;" in run._repr_html_()


def test_a_place_that_is_taken(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("")
    with damon.open_machine(sim="hot-cold", seed=1) as machine, pytest.raises(InvalidInput, match="run"):
        damon.Recording(damon.Damon(machine), out=tmp_path / "run")
