# SPDX-License-Identifier: GPL-2.0-only
"""Processes that go on living while they are watched: memory that comes, goes and moves, children, other programs."""

from __future__ import annotations

import time
from typing import Any

from damon.mm.linux.rwp import SYNC_NS
from damon.model.machine import Advice
from tests.vm.guest.rwp.stage import check, observed, protected, victim, watched


@check
def memory_that_comes_and_moves() -> dict[str, Any]:
    """New mappings are seen after the next look at them at the latest; a mapping that moved is another one."""
    with victim(4) as other, observed(other) as space:
        other.tell(f"write 0 {other.pages} 1")
        watched(space, other, [0])
        at = int(other.tell("grow 64"))
        before = watched(space, other, range(64), "again", base=at)
        time.sleep(SYNC_NS / 1e9)
        came = watched(space, other, range(64), "again", base=at)
        idle = watched(space, other, range(64), base=at)
        there = int(other.tell("move 128"))
        watched(space, other, range(64), base=at)  # is gone: found out, nothing else
        space.mappings()
        moved = watched(space, other, range(128), "again", base=there)
        assert other.tell("verify") == "same"
    assert before == [], before
    assert came == list(range(64)), came
    assert idle == [], idle
    assert moved == list(range(128)), moved
    return {"came": len(came), "moved": len(moved)}


@check
def pages_that_are_dropped_and_touched_again() -> dict[str, Any]:
    with victim(4) as other, observed(other) as space:
        other.tell(f"write 0 {other.pages} 1")
        watched(space, other, [0])
        dropped = watched(space, other, range(64), "drop 0 32")
        again = watched(space, other, range(64), "touch 0 16 1")
    assert dropped == [], dropped
    assert again == list(range(16)), again
    return {"again": len(again)}


@check
def pages_that_are_swapped_out() -> dict[str, Any]:
    """Protection outlives it; what comes back by an access was accessed."""
    with victim(8) as other, observed(other) as space:
        other.tell(f"write 0 {other.pages} 1")
        pages = list(range(0, other.pages, 4))
        watched(space, other, pages)
        batch_before = protected(other)
        assert space.madvise(other.base, other.pages * 4096, Advice.PAGEOUT) == 0
        gone = other.pages - other.present()
        nothing = watched(space, other, pages)
        some = watched(space, other, pages, "touch 0 64 1")
        assert other.tell("verify") == "same"
    assert gone > other.pages // 2, gone
    assert nothing == [], nothing
    assert some == list(range(0, 64, 4)), some
    return {"protected": batch_before, "swapped": gone}


@check
def a_child_is_not_watched_and_not_disturbed() -> dict[str, Any]:
    with victim(4) as other, observed(other) as space:
        other.tell(f"write 0 {other.pages} 1")
        watched(space, other, range(other.pages))
        other.tell("share")
        time.sleep(1)
        child = watched(space, other, range(0, other.pages, 8))
        own = watched(space, other, range(64), "write 0 32 1")
        assert other.tell("verify") == "same"
    assert child == [], child
    assert own == list(range(32)), own
    return {"own": len(own)}


@check
def another_program() -> dict[str, Any]:
    """execve(2): the descriptor is of memory that is gone; the new program's is tracked at once."""
    with victim(4) as other, observed(other) as space:
        other.tell(f"write 0 {other.pages} 1")
        watched(space, other, range(64))
        other.base = int(other.tell("exec"))
        other.tell(f"write 0 {other.pages} 1")
        seen = watched(space, other, range(64), "touch 0 32 1")
    assert seen == list(range(32)), seen
    return {"seen": len(seen)}


@check
def a_process_that_ends() -> dict[str, Any]:
    with victim(4) as other, observed(other) as space:
        other.tell(f"write 0 {other.pages} 1")
        watched(space, other, range(64))
        other.process.kill()
        other.process.wait()
        seen = watched(space, other, range(64))
        assert not space.alive()
    assert seen == [], seen
    return {}


@check
def memory_without_access_rights() -> dict[str, Any]:
    """mprotect(PROT_NONE) takes a mapping out of what can be tracked, and back."""
    with victim(4) as other, observed(other) as space:
        other.tell(f"write 0 {other.pages} 1")
        watched(space, other, range(64))
        hidden = watched(space, other, range(64), "hide 0 64")
        space.mappings()
        still = watched(space, other, range(128), "touch 64 100 1")
        other.tell("show 0 64")
        space.mappings()
        shown = watched(space, other, range(128), "touch 0 100 1")
        assert other.tell("verify") == "same"
    assert hidden == [], hidden
    assert still == list(range(64, 100)), still
    assert shown == list(range(100)), shown
    return {"shown": len(shown)}
