# SPDX-License-Identifier: GPL-2.0-only
"""Real page tables in a guest: what ``damon.mm.linux`` sees and does, read back from pagemap and kpageflags."""

from __future__ import annotations

from typing import Any

import pytest

from tests.vm.checks import GUARD_S, complaints, results
from tests.vm.guest.linux_mm import CHECKS
from vmtest import Guest

pytestmark = [
    pytest.mark.guest(memory="1G", cpus=2, numa=2, swap="zram:512M", snapshot=True),
    pytest.mark.timeout(GUARD_S + 300),
]


@pytest.fixture(scope="module")
def report(shared_guest: Guest, request: pytest.FixtureRequest) -> dict[str, Any]:
    """All checks, in one go for the module: a Python start takes a second there."""
    return results(shared_guest, "linux_mm", request)


@pytest.mark.parametrize("name", CHECKS)
def test_in_guest(report: dict[str, Any], name: str) -> None:
    assert report[name]["ok"], report[name].get("error")
    print(name, report[name]["seconds"], report[name]["saw"])


def test_kernel_had_nothing_to_complain_of(shared_guest: Guest, report: dict[str, Any]) -> None:
    assert complaints(shared_guest) == []
