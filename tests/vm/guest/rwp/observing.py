# SPDX-License-Identifier: GPL-2.0-only
"""What is seen of memory of each kind, and what it costs the process."""

from __future__ import annotations

import errno
import os
import random
import re
import time
from pathlib import Path
from typing import Any

from tests.vm.guest.linux_mm.stage import settle
from tests.vm.guest.rwp.stage import check, minor_faults, observed, protected, registered, victim, watched


@check
def hot_pages_are_seen_without_a_flush_and_no_others() -> dict[str, Any]:
    """The processor has translations of all hot pages all the time, which hide accesses from accessed bits."""
    rng = random.Random(1)
    with victim(64) as other, observed(other) as space:
        other.tell(f"write 0 {other.pages} 1")
        other.tell("spin 0 1024 1")
        counts = {"hot": 0, "hot seen": 0, "cold": 0, "cold seen": 0}
        for _ in range(40):
            pages = [rng.randrange(at, at + 16) for at in range(0, other.pages, 16)]
            seen = set(watched(space, other, pages, "pass"))  # which a busy host makes later
            for page in pages:
                kind = "hot" if page < 1024 else "cold"
                counts[kind] += 1
                counts[f"{kind} seen"] += page in seen
    assert counts["hot"] > 2000, counts
    assert counts["hot seen"] >= 0.99 * counts["hot"], counts
    assert counts["cold seen"] <= 0.001 * counts["cold"], counts
    return counts


@check
def a_sampled_page_costs_at_most_one_fault() -> dict[str, Any]:
    with victim(16) as other, observed(other) as space:
        other.tell(f"write 0 {other.pages} 1")
        other.tell("touch 0 1 1")
        watched(space, other, [0], "touch 0 1 1")
        before = minor_faults(other.pid)
        pages = list(range(0, other.pages, 4))
        assert watched(space, other, pages, f"touch 0 {other.pages} 1") == pages
        first = minor_faults(other.pid) - before
        other.tell(f"touch 0 {other.pages} 1")
        again = minor_faults(other.pid) - before - first
    assert len(pages) <= first <= len(pages) + 20, first
    assert again < 20, again
    return {"samples": len(pages), "faults": first, "later": again}


@check
def nothing_is_left_at_the_end() -> dict[str, Any]:
    with victim(4) as other:
        other.tell(f"write 0 {other.pages} 1")
        files = sorted(os.listdir(f"/proc/{other.pid}/fd"))
        with observed(other) as space:
            watched(space, other, range(0, other.pages, 2))
            during = protected(other), registered(other.pid)
            assert sorted(os.listdir(f"/proc/{other.pid}/fd")) == files
        after = protected(other), registered(other.pid)
        assert other.tell("verify") == "same"
    assert during[0] == other.pages // 2, during
    assert during[1] > 1, during
    assert after == (0, 0), after
    return {"protected": during[0], "registered": during[1]}


@check
def shared_memory() -> dict[str, Any]:
    with victim(4, "/dev/shm/area") as other, observed(other) as space:
        other.tell(f"touch 0 {other.pages} 1")
        pages = list(range(0, other.pages, 8))
        seen = watched(space, other, pages, "touch 0 64 1")
        later = watched(space, other, pages)
    assert seen == list(range(0, 64, 8)), seen
    assert later == [], later
    return {"seen": seen}


@check
def pages_of_a_file() -> dict[str, Any]:
    """They cannot be tracked, and the mapping is named; page_idle sees them."""
    path = os.path.realpath("/usr/bin/python3")
    with victim(4) as other, observed(other) as space:
        at = int(other.tell(f"file {path}"))
        other.tell("peek 0 512")
        settle(other)
        pages = list(range(0, 512, 8))
        watched(space, other, pages, base=at)
        seen = watched(space, other, pages, "peek 0 64", base=at)
        tracker = space.tracker()
        assert tracker is not None
        named = [error for (start, end), error in tracker.unseen.items() if start <= at < end]
    assert named == [errno.EINVAL], tracker.unseen
    assert set(range(0, 64, 8)) <= set(seen), seen
    return {"seen": seen}


@check
def huge_pages_stay_whole() -> dict[str, Any]:
    """One that a huge entry maps is protected whole: AnonHugePages stays, and its pages are accessed alike."""
    with victim(16) as other, observed(other) as space:
        other.tell("collapse")
        before = _anon_huge(other.pid)
        seen = watched(space, other, [700, 3000], "touch 600 601 1")
        watched(space, other, range(0, other.pages, 100))
        assert _anon_huge(other.pid) == before
        at = int(other.tell("huge 1024"))
        space.mappings()
        hugetlb = watched(space, other, [5, 600], "again", base=at), watched(space, other, [5, 600], base=at)
    assert before >= 8 << 20, before
    assert seen == [700], seen
    assert hugetlb == ([5, 600], []), hugetlb
    return {"AnonHugePages": before, "hugetlb": hugetlb}


def _anon_huge(pid: int) -> int:
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(re.search(r"AnonHugePages:\s*(\d+)", text)[1]) << 10  # type: ignore[index]


@check
def system_calls_may_use_protected_memory() -> dict[str, Any]:
    """The descriptor is for faults of user code only; those of the kernel are resolved all the same."""
    with victim(4) as other, observed(other) as space:
        other.tell(f"write 0 {other.pages} 1")
        seen = watched(space, other, list(range(64)), "readinto 0 32")
    assert seen == list(range(32)), seen
    return {"seen": len(seen)}


@check
def cost_of_a_sample() -> dict[str, Any]:
    """1000 samples of 256 MiB, by rwp and by page_idle: processor time each, in us."""
    found: dict[str, float] = {}
    rng = random.Random(2)
    with victim(128) as other:
        other.tell(f"write 0 {other.pages} 1")
        other.tell("spin 0 1024 1")
        for access in ("page_idle", "rwp", "page_idle", "rwp"):
            with observed(other, access) as space:
                pages = [rng.randrange(at, at + 32) for at in range(0, other.pages, 32)]
                watched(space, other, pages)
                begin, rounds = time.thread_time(), 8
                for _ in range(rounds):
                    pages = [rng.randrange(at, at + 32) for at in range(0, other.pages, 32)]
                    watched(space, other, pages)
                us = (time.thread_time() - begin) / rounds / len(pages) * 1e6
                found[access] = min(us, found.get(access, us))
    return found
