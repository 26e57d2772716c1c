# SPDX-License-Identifier: GPL-2.0-only
"""A study of seconds: eight configurations of damon_reclaim on a small workload."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from damon.tune.evaluate import Evaluator
from damon.tune.pool import Pool
from damon.tune.request import Request, Result
from damon.tune.results import Results
from damon.tune.stages import Found
from damon.tune.study import Study, load_study

WORKLOAD = """\
areas:
  hot:  {size: 2 MiB}
  warm: {size: 2 MiB}
  cold: {size: 6 MiB}
phases:
  - duration: 4s
    access:
      - {area: hot, pattern: random, rate: 50k}
  - duration: 2s
    access:
      - {area: hot, pattern: random, rate: 50k}
      - {area: warm, pattern: random, rate: 50k}
machine:
  memory: 64 MiB
  swap: {size: 16 MiB}
repeat: true
"""
STUDY: dict[str, Any] = {
    "format": 1,
    "workloads": ["w.yaml"],
    "modules": {
        "damon_reclaim": {
            "min_age": {"from": "500ms", "to": "8s", "log": 4},
            "max_nr_regions": [20, 60],
            "sample_interval": "10ms",
            "aggr_interval": {"of": "sample_interval", "times": 10},
            "wmarks_high": 1000, "wmarks_mid": 1000, "wmarks_low": 0,
        }
    },
    "seeds": [1, 2],
    "duration": "12s",
    "objectives": ["maximize saved_bytes"],
    "constraints": ["refaults_per_s <= 20"],
    "tune": {"trials": 6, "batch": 2, "startup": 2, "seed": 3},
}  # fmt: skip


class Quiet:
    """Counts what it hears."""

    def __init__(self) -> None:
        self.known = self.made = 0

    def begins(self, what: str, total: int) -> None:
        pass

    def ran(self, request: Request, result: Result, known: bool) -> None:
        self.known += known
        self.made += not known


Searched = Callable[..., tuple[Found, Quiet]]


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., Path]:
    """Writes a study file; its keywords replace fields."""

    def write(**fields: Any) -> Path:
        (tmp_path / "w.yaml").write_text(WORKLOAD)
        path = tmp_path / "s.yaml"
        path.write_text(yaml.safe_dump({**STUDY, **fields}, sort_keys=False))
        return path

    return write


@pytest.fixture
def searched(tmp_path: Path) -> Searched:
    """Runs a search with a result file; what it found, and what it heard."""

    def run(
        study: Study | Path, search: Callable[[Evaluator], Found], name: str = "r.jsonl", jobs: int = 2
    ) -> tuple[Found, Quiet]:
        loaded = load_study(study) if isinstance(study, Path) else study
        heard = Quiet()
        pool = Pool({one.sha256: one.path for one in loaded.workloads}, jobs)
        try:
            with Results(tmp_path / name) as results:
                evaluator = Evaluator(loaded, results, pool, heard)
                found = search(evaluator)
                results.finish(evaluator.order)
        finally:
            pool.close()
        return found, heard

    return run
