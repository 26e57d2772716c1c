# SPDX-License-Identifier: GPL-2.0-only
"""What a recording of the kernel's DAMON starts and stops; ``tests/vm/test_host.py`` records a kernel's events."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

import pytest

from damon.cli.record_host import HostSource, start
from damon.errors import InvalidInput
from damon.model.scheme import DamosAction
from tests.host.conftest import Kernel

WORDS = ["min_age=3000000", "sample_interval=10000", "monitor_region_start=0x100000", "monitor_region_end=0x40000000"]


def test_a_modules_context_is_what_its_parameters_show(kernel: Kernel, tmp_path: Path) -> None:
    with kernel.open() as host:
        source = HostSource(host, tmp_path)
        ctx = source.start_module("damon_reclaim", WORDS)
        assert source.running(ctx)
        shown = source.kdamond(ctx)
        source.stop()
        assert not source.running(ctx)
        assert source.ended
    assert (ctx.attrs.sample_interval, ctx.attrs.aggr_interval) == (10_000, 100_000)
    assert [(region.start, region.end) for region in ctx.targets[0].regions] == [(0x100000, 0x40000000)]
    (scheme,) = ctx.schemes
    assert (scheme.action, scheme.pattern.min_age_region) == (DamosAction.PAGEOUT, 30)
    assert shown["contexts"][0]["ops"] == "paddr"
    assert len(shown["contexts"][0]["schemes"]) == 1


def test_the_context_of_stat_is_all_of_ram(kernel: Kernel, tmp_path: Path) -> None:
    with kernel.open() as host:
        source = HostSource(host, tmp_path)
        ctx = source.start_module("damon_stat", [])
        source.stop()
    assert ctx.attrs.intervals_goal.access_bp == 400
    assert len(ctx.targets) == 1
    assert ctx.schemes == []


def test_modules_and_a_context_do_not_go_together(kernel: Kernel, tmp_path: Path) -> None:
    wanted = Namespace(linux=True, module=[["damon_reclaim"]], cmdline="", ops="vaddr", pid=[1], region=[])
    with kernel.open() as host, pytest.raises(InvalidInput, match="--ops, --pid, --region"):
        start(host, HostSource(host, tmp_path), wanted)


def test_a_module_that_is_refused_leaves_nothing(kernel: Kernel, tmp_path: Path) -> None:
    """Two modules start exclusively; the first one is turned off again with the engine's end."""
    wanted = Namespace(
        linux=True, module=[["damon_reclaim", *WORDS], ["damon_lru_sort"]], cmdline="", ops=None, pid=[], region=[]
    )
    with kernel.open() as host, pytest.raises(OSError, match="it runs here"):
        start(host, HostSource(host, tmp_path), wanted)
