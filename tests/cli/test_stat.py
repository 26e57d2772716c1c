# SPDX-License-Identifier: GPL-2.0-only
"""``damon run`` and ``damon modinfo`` with a module whose numbers are not counters."""

from __future__ import annotations

import json
import re

import pytest

from damon.cli import progress
from tests.cli.conftest import Damon


def test_the_result_has_all_percentiles(damon: Damon, small: str) -> None:
    arguments = ["run", "--module", "damon_stat", "--sim", small, "--duration", "12", "--quiet", "--json", "-"]
    outcome = damon(arguments)
    assert (outcome.code, outcome.err) == (0, "")
    module = json.loads(outcome.out)["modules"]["damon_stat"]
    stats = module["stats"]
    assert list(stats) == ["estimated_memory_bandwidth", "memory_idle_ms_percentiles", "aggr_interval_us"]
    percentiles = stats["memory_idle_ms_percentiles"]
    assert (len(percentiles), percentiles) == (101, sorted(percentiles))
    assert 0 < percentiles[100] <= 12_000 + stats["aggr_interval_us"] // 1000
    assert module["parameters"] == {"enabled": True, **stats, "kdamond_pid": -1}
    assert module["state"].startswith("active; ")
    assert damon(arguments).out.split('"timing"')[0] == outcome.out.split('"timing"')[0]


def test_the_summary_has_percentiles_in_words(damon: Damon, small: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_LINE_S", 0.0)
    outcome = damon(["run", "--cmdline", "damon_stat.aggr_interval_us=1", "--sim", small, "--duration", "12"])
    assert outcome.code == 0
    assert re.search(r"estimated_memory_bandwidth +[0-9.]+ MiB/s", outcome.out)
    assert re.search(r"memory_idle_ms_percentiles\[100\] \(most idle\) +idle for [0-9.]+ s", outcome.out)
    assert re.search(r"damon_stat at the end: active; [0-9.]+ MiB/s; half of the memory idle for", outcome.out)
    assert max(map(len, outcome.out.splitlines())) <= 120
    first, last = outcome.err.splitlines()[0], outcome.err.splitlines()[-1]
    assert first.endswith("module damon_stat, tried -, applied -, state active; its first numbers come after 5 s")
    assert "half of the memory idle for" in last


def test_a_run_too_short_for_numbers_is_reported(damon: Damon, small: str) -> None:
    outcome = damon(["run", "--module", "stat", "--sim", small, "--duration", "5"])
    assert outcome.code == 0
    assert "none yet: they come after 5 s" in outcome.out


def test_it_is_enabled_by_default_and_exclusive(damon: Damon, small: str) -> None:
    off = damon(["run", "--cmdline", "damon_stat.enabled=N", "--sim", small, "--duration", "6"])
    assert off.code == 0
    assert off.err.startswith("damon: no module is enabled")
    assert "damon_stat at the end: off" in off.out
    both = damon(["run", "--cmdline", "damon_stat.kdamond_pid=1", "--module", "reclaim", "--sim", small])
    assert both.code == 2
    assert both.err == ("damon: modules: damon_stat, damon_reclaim: they start exclusively; enable one (EBUSY)\n")
    one = damon(["run", "--module", "stat", "enabled=N", "--module", "reclaim", "--sim", small, "--duration", "1"])
    assert one.code == 0


def test_modinfo(damon: Damon) -> None:
    rows = {row["name"]: row for row in json.loads(damon(["modinfo", "stat", "--json"]).out)["parameters"]}
    assert rows["memory_idle_ms_percentiles"]["default"] == ",".join(["0"] * 101)
    assert (rows["memory_idle_ms_percentiles"]["type"], rows["enabled"]["default"]) == ("array of long", "Y")
    table = damon(["modinfo", "stat"]).out
    assert "0, 101 times" in table
    assert "0,0" not in table
