# SPDX-License-Identifier: GPL-2.0-only
"""Contexts and modules that run on real page tables: what the kernel's own accounts say of their effects."""

from __future__ import annotations

from typing import Any

import pytest

from tests.vm.checks import GUARD_S, complaints, results
from tests.vm.guest.workers import CHECKS
from tests.vm.job import COUNTED
from vmtest import Guest

pytestmark = [
    pytest.mark.guest(memory="1G", swap="zram:512M", **{**COUNTED, "skip_idle": False}),
    pytest.mark.timeout(GUARD_S + 300),
]


@pytest.fixture(scope="module")
def report(shared_guest: Guest, request: pytest.FixtureRequest) -> dict[str, Any]:
    """All checks, in one go for the module: a Python start takes a second there."""
    return results(shared_guest, "workers", request)


@pytest.mark.parametrize("name", CHECKS)
def test_in_guest(report: dict[str, Any], name: str) -> None:
    assert report[name]["ok"], report[name].get("error")
    print(name, report[name]["seconds"], report[name]["saw"])


def test_kernel_had_nothing_to_complain_of(shared_guest: Guest, report: dict[str, Any]) -> None:
    assert complaints(shared_guest) == []
