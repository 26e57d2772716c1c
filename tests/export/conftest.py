# SPDX-License-Identifier: GPL-2.0-only
"""A damond for each workload."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.damond.conftest import Damond, serving

WORKLOADS = Path(__file__).parents[2] / "workloads"


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Callable[[str], Damond]]:
    """A damond that plays a workload."""
    found: list[Damond] = []

    with serving(tmp_path) as go:

        def start(workload: str) -> Damond:
            found.append(go("--sim", str(WORKLOADS / f"{workload}.yaml")).wait())
            return found[-1]

        yield start
        for one in found:
            one.end()
            assert "Traceback" not in one.log.read_text()
