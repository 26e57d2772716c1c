# SPDX-License-Identifier: GPL-2.0-only
"""The host engine on a real kernel's DAMON: contexts, modules, and kills at random moments."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.vm.job import COUNTED, HOT_COLD, PROJECT, PYTHON, workload
from tests.waiting import HANG_S
from vmtest import Guest

pytestmark = pytest.mark.guest(memory="1G", swap="zram:512M", **COUNTED)

MIB = 1 << 20


def _run(guest: Guest, *words: str) -> dict[str, Any]:
    done = guest.run([PYTHON, "-m", *words], cwd=PROJECT, timeout=4 * HANG_S)
    result: dict[str, Any] = json.loads(done.check().text)
    return result


def test_the_kernels_parameters_are_shown(shared_guest: Guest) -> None:
    """Twice: the first one leaves nothing that keeps the second from it."""
    words = ("damon", "modinfo", "--engine", "host", "--json")
    for name in ("damon_reclaim", "lru_sort"):
        shown = _run(shared_guest, *words, name)
        assert shown["name"].endswith(name)
        parameters = {row["name"]: row for row in shown["parameters"]}
        assert parameters["enabled"]["default"] == "N"
        assert parameters["kdamond_pid"]["perm"] == "0400"
        assert parameters["sample_interval"]["unit"] == "us"
    assert {"min_age", "quota_ms"} & set(parameters) == {"quota_ms"}


def test_contexts_and_modules(shared_guest: Guest, capsys: pytest.CaptureFixture[str]) -> None:
    with workload(shared_guest, HOT_COLD) as running:
        found = _run(shared_guest, "tests.vm.guest.host_run", str(running.pid), running.span("hot"))
        pages = running.pages()
    assert found["modules"][:2] == ["damon_lru_sort", "damon_reclaim"]
    start, end = running.areas["hot"]
    hot = sum(
        min(end, b) - max(start, a) for a, b, accesses in found["regions"] if accesses >= 10 and a < end and b > start
    )
    assert hot > (end - start) // 2
    reclaimed = found["stats"]["sz_applied"]
    with capsys.disabled():
        print(f"\n  host engine: {hot / MIB:.0f} MiB of the hot area seen hot, {reclaimed / MIB:.0f} MiB reclaimed;"
              f" left of cold {pages['cold']['present'] * 4 / 1024:.0f} MiB, of hot"
              f" {pages['hot']['present'] * 4 / 1024:.0f} MiB")  # fmt: skip
    assert (found["reclaim"]["min_age"], found["reclaim"]["enabled"]) == ("2000000", "Y")
    assert int(found["reclaim"]["kdamond_pid"]) > 0
    assert pages["cold"]["present"] * 4096 < 180 * MIB  # of 224
    assert pages["hot"]["present"] * 4096 > 0.9 * (end - start)


@pytest.mark.parametrize("kills", [4, pytest.param(50, marks=pytest.mark.long)])
def test_killed_at_random_moments(kills: int, shared_guest: Guest, capsys: pytest.CaptureFixture[str]) -> None:
    """What others had prepared is there again, file by file, and no worker runs."""
    found = _run(shared_guest, "tests.vm.guest.host_kills", str(kills), "1")
    with capsys.disabled():
        print(f"\n  {found['kills']} kills at {len(set(found['moments']))} moments in {found['seconds']} s:"
              f" {found['interrupted']} with something to restore; {found['files']} files the same")  # fmt: skip
    assert found["different"] == {}
    assert found["interrupted"] > kills * 0.6
