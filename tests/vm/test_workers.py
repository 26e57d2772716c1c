# SPDX-License-Identifier: GPL-2.0-only
"""Contexts and modules that run on real page tables: what the kernel's own accounts say of their effects."""

from __future__ import annotations

from typing import Any

import pytest

from tests.vm.checks import GUARD_S, complaints, results
from tests.vm.guest.workers import CHECKS
from vmtest import Guest

#: By a clock that counts instructions: what uses its memory does so in time, however busy the host is. One guest for
#: all checks, so it is no snapshot's.
COUNTED = {"icount": 2, "cpus": 2}
pytestmark = [
    pytest.mark.guest(memory="1G", swap="zram:512M", **COUNTED),
    pytest.mark.timeout(GUARD_S + 300),
]


@pytest.fixture(scope="module")
def report(_module_guest: Any, request: pytest.FixtureRequest) -> dict[str, Any]:
    """All checks, in one go for the module: a Python start takes a second there."""
    return results(_module_guest.guest(), "workers", request)


@pytest.mark.parametrize("name", CHECKS)
def test_in_guest(report: dict[str, Any], name: str) -> None:
    assert report[name]["ok"], report[name].get("error")
    print(name, report[name]["seconds"], report[name]["saw"])


def test_kernel_had_nothing_to_complain_of(guest: Guest, report: dict[str, Any]) -> None:
    assert complaints(guest) == []
