# SPDX-License-Identifier: GPL-2.0-only
"""Run directories: of the simulated machine, by the command, and hostile ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import pytest

from damon.cli.main import main
from damon.results.directory import DirectorySink
from damon.results.run import Run
from damon.results.tables import TABLES, Kind

WORKLOAD: Final = """\
areas:
  index: {size: 4 MiB}
  cache: {size: 12 MiB}
phases:
  - {duration: 2s, access: [{area: index, pattern: random, rate: 400k}]}
  - {duration: 2s, access: [{area: cache, pattern: zipf, rate: 100k, skew: 1.2}]}
machine:
  memory: 64 MiB
  swap: {size: 32 MiB}
"""
OPEN: Final = ("wmarks_high=1000", "wmarks_mid=1000", "wmarks_low=0")


def make(place: Path, name: str, *words: str, workload: str = WORKLOAD) -> Path:
    """The directory ``name`` of a run of four seconds."""
    file = place / "small.yaml"
    file.write_text(workload)
    out = place / name
    code = main(["run", "--sim", str(file), *words, "--duration", "4", "--out", str(out), "--regions", "--quiet"])
    assert code == 0
    return out


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Physical memory under two policies, and the virtual memory of a process."""
    place = tmp_path_factory.mktemp("runs")
    return {
        "early": make(place, "early", "--module", "damon_reclaim", "min_age=500000", *OPEN),
        "late": make(place, "late", "--module", "damon_reclaim", "min_age=1500000", *OPEN),
        "virtual": make(place, "virtual", "--module", "damon_sample_prcl", "target_pid=1000"),
    }


@pytest.fixture
def run(runs: dict[str, Path]) -> Run:
    return Run.open(runs["early"])


HOSTILE: Final = (
    "</script><script>window.hit=1</script>",
    "<img src=x onerror=window.hit=1>",
    "\"quotes' & <b>bold</b> %{x} $x^2$ {{ 1 }} \\",
    "<a href=\"javascript:window.hit=1\">link</a>",
    "long" * 20_000,
    "two\nlines\x1b[31m\u202e",
)  # fmt: skip


def _asked() -> tuple[dict[str, Any], dict[str, Any]]:
    """A request and a context in which each name is hostile."""
    names = [*HOSTILE, *(f"area {number}" for number in range(3000))]
    areas = [{"name": name, "size": 1 << 20, "start": number << 30} for number, name in enumerate(names)]
    phases = [{"name": names[0], "duration_us": 1000, "accesses": [{"area": names[0], "rate": 1e9}]}]
    request: dict[str, Any] = {
        "machine": "sim",
        "seed": 1,
        "engine": {"engine": names[0], "version": names[4]},
        "modules": {name: {name: name} for name in HOSTILE},
        "workload": {"name": names[1], "areas": areas, "phases": phases, "pids": {"main": 1000}},
    }
    context = {
        "ops": "vaddr",
        "targets": [{"pid": 1000}],
        "schemes": [{"action": name} for name in HOSTILE],
        "intervals": {"sample_us": "5000", "aggr_us": "100000"},
    }
    return request, context


def hostile(place: Path) -> Path:
    """A run directory in which each name is hostile."""
    request, context = _asked()
    sink = DirectorySink(place / HOSTILE[3].replace("/", "_"), request, "jsonl")
    rows = 20
    times = [(number + 1) * 100_000_000 for number in range(rows)]
    regions = [(0, 1 << 20), (1 << 30, (1 << 30) + (1 << 20))]
    fill(sink, "snapshots", time_ns=times, nr_rows=[2] * rows)
    fill(
        sink,
        "regions",
        start=[a for a, _ in regions] * rows,
        end=[b for _, b in regions] * rows,
        nr_accesses=[9, 0] * rows,
    )
    fill(sink, "contexts", time_ns=times, sample_us=[5000] * rows, aggr_us=[100_000] * rows)
    fill(sink, "areas", time_ns=times * len(HOSTILE), area=[name for name in HOSTILE for _ in times])
    fill(sink, "schemes", time_ns=times, scheme=[number % 6 for number in range(rows)], esz=[2**64 - 1] * rows)
    fill(
        sink,
        "actions",
        time_ns=times,
        end=[1 << 20] * rows,
        scheme=[n % 6 for n in range(rows)],
        applied_bytes=[4096] * rows,
    )
    sink.describe(contexts=[context], result={"areas": {name: {} for name in HOSTILE}, "slowdown": 1.0})
    sink.close()
    sink.describe(contexts=[context], result={"areas": {name: {} for name in HOSTILE}, "slowdown": 1.0})
    return sink.path


def fill(sink: DirectorySink, table: str, **columns: list[Any]) -> None:
    """Append rows; columns that are not given are 0 or empty."""
    nr = len(next(iter(columns.values())))
    plain = {column.name: "" if column.kind is Kind.TEXT else 0 for column in TABLES[table]}
    sink.append(table, {name: columns.get(name, [value] * nr) for name, value in plain.items()})
