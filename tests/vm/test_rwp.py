# SPDX-License-Identifier: GPL-2.0-only
"""Accesses seen by read-write protection, in a guest of Linux 7.3."""

from __future__ import annotations

from typing import Any

import pytest

from tests.vm.checks import GUARD_S, complaints, results
from tests.vm.guest.rwp import CHECKS
from tests.vm.job import PROJECT, PYTHON
from vmtest import Guest
from vmtest.images import variants

pytestmark = [
    pytest.mark.guest(memory="1G", cpus=2, swap="zram:512M", hugepages="2M:4", snapshot=True),
    pytest.mark.timeout(GUARD_S + 300),
    pytest.mark.skipif(
        variants.variant(variants.DEFAULT).chosen().name == "page-idle-6.12",
        reason="the source of Linux 7.3 cannot be had; 6.12 has no read-write protection",
    ),
]


@pytest.fixture(scope="module")
def report(shared_guest: Guest, request: pytest.FixtureRequest) -> dict[str, Any]:
    """All checks, in one go for the module."""
    return results(shared_guest, "rwp", request)


@pytest.mark.parametrize("name", CHECKS)
def test_in_guest(report: dict[str, Any], name: str) -> None:
    assert report[name]["ok"], report[name].get("error")
    print(name, report[name]["seconds"], report[name]["saw"])


def test_kernel_had_nothing_to_complain_of(shared_guest: Guest, report: dict[str, Any]) -> None:
    assert complaints(shared_guest) == []


@pytest.mark.long
def test_a_hundred_killed_monitors(shared_guest: Guest) -> None:
    """Of 20 processes of all kinds: each finishes, and its memory is right."""
    code = "from tests.vm.guest.rwp.users import kills; print(kills(100, 20, 7))"
    done = shared_guest.run([PYTHON, "-c", code], cwd=PROJECT, timeout=GUARD_S).check()
    assert "'kills': 100" in done.text
