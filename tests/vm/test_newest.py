# SPDX-License-Identifier: GPL-2.0-only
"""What follows 7.3, in a guest: the level ``next``, reported accesses, and the kernel's samples."""

from __future__ import annotations

from typing import Any

import pytest

from tests.vm.checks import GUARD_S, complaints, results
from tests.vm.guest.newest import CHECKS, reporting
from tests.vm.job import COUNTED
from vmtest import Guest
from vmtest.images import variants

pytestmark = [
    pytest.mark.guest(memory="1G", numa=2, swap="zram:512M", **COUNTED),
    pytest.mark.timeout(GUARD_S + 300),
]
#: Whose source is read-write protection.
OF_7_3 = [name for name, check in CHECKS.items() if check.__module__ == reporting.__name__]
#: Minutes of the guest's.
LONG = {"mtier_moves_hot_memory_to_node_0_and_cold_memory_away"}


@pytest.fixture(scope="module")
def report(shared_guest: Guest, request: pytest.FixtureRequest) -> dict[str, Any]:
    """All checks, in one go for the module."""
    return results(shared_guest, "newest", request)


@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.long] * (name in LONG)) for name in CHECKS])
def test_in_guest(report: dict[str, Any], name: str) -> None:
    if name in OF_7_3 and variants.variant(variants.DEFAULT).chosen().name == "page-idle-6.12":
        pytest.skip("the source of Linux 7.3 cannot be had; 6.12 has no read-write protection")
    assert report[name]["ok"], report[name].get("error")
    print(name, report[name]["seconds"], report[name]["saw"])


def test_kernel_had_nothing_to_complain_of(shared_guest: Guest, report: dict[str, Any]) -> None:
    assert complaints(shared_guest) == []
