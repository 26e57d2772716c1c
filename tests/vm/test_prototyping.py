# SPDX-License-Identifier: GPL-2.0-only
"""The program of docs/how-to/prototyping.md on real page tables; pagemap says what became of the pages."""

from __future__ import annotations

import json

import pytest

from tests.vm.checks import complaints
from tests.vm.job import COUNTED, HOT_COLD, PROJECT, PYTHON, workload
from tests.waiting import HANG_S
from vmtest import Guest

pytestmark = [pytest.mark.guest(memory="1G", swap="zram:512M", **COUNTED), pytest.mark.long]

MIB = 1 << 20


def test_the_page_on_this_kernel(guest: Guest) -> None:
    with workload(guest, HOT_COLD) as running:
        cold, hot = running.areas["cold"], running.areas["hot"]
        words = [PYTHON, "-m", "tests.vm.guest.prototype", running.pid, *cold, *hot]
        done = guest.run([str(word) for word in words], cwd=PROJECT, timeout=2 * HANG_S).check()
    print(done.errors)
    said = json.loads(done.text)

    accessed = sum(size for nr_accesses, size in said["watch"] if nr_accesses)
    assert 0.6 * 32 * MIB < accessed < 1.6 * 32 * MIB
    assert sum(size for _, size in said["watch"]) > 250 * MIB

    hits = [(end - start, start >= hot[0]) for start, end, nr_accesses in said["operations"] if nr_accesses]
    assert sum(size for size, inside in hits if inside) > 24 * MIB
    assert sum(size for size, inside in hits if not inside) < 24 * MIB

    parts = said["parts"]
    assert parts["applied"] == parts["tried"] > 0
    # 8 MiB each half second until the goal is reached, and not on.
    assert 64 * MIB * 0.8 < parts["swapped"][0] < 96 * MIB
    assert parts["goal"] >= 60
    even, tried = parts["even"]
    assert 0.4 < even / tried < 0.6

    assert said["reclaim"]["swapped"][0] > 0.8 * (cold[1] - cold[0])
    assert said["reclaim"]["swapped"][1] < 0.1 * (hot[1] - hot[0])
    assert complaints(guest) == []
