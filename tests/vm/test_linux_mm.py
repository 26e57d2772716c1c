# SPDX-License-Identifier: GPL-2.0-only
"""Real page tables in a guest: what ``damon.mm.linux`` sees and does, read back from pagemap and kpageflags."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.vm.guest.linux_mm import CHECKS
from tests.vm.job import PROJECT, PYTHON
from vmtest import Guest

pytestmark = pytest.mark.guest(memory="1G", cpus=2, numa=2, swap="zram:512M")


@pytest.fixture(scope="module")
def said() -> dict[str, Any]:
    return {}


@pytest.fixture
def report(guest: Guest, said: dict[str, Any]) -> dict[str, Any]:
    """All checks, in one go for the module: a Python start takes a second there."""
    if not said:
        result = guest.run([PYTHON, "-m", "tests.vm.guest.linux_mm"], cwd=PROJECT, timeout=280).check()
        said.update(json.loads(result.text))
    return said


@pytest.mark.parametrize("name", CHECKS)
def test_in_guest(report: dict[str, Any], name: str) -> None:
    assert report[name]["ok"], report[name].get("error")
    print(name, report[name]["saw"])


def test_kernel_had_nothing_to_complain_of(guest: Guest, report: dict[str, Any]) -> None:
    assert len(report) == len(CHECKS)
    assert guest.warnings == []
