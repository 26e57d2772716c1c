# SPDX-License-Identifier: GPL-2.0-only
"""Which way accesses are seen: what is refused, and when. What is seen: ``tests/vm/test_rwp.py``."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import damon
from damon.cli.access import ACCESSES
from damon.core import Damon
from damon.errors import DamonError, InvalidInput, MissingCapability
from damon.mm.linux import LinuxMachine, access, inject, rwp
from damon.mm.linux.access import Access
from damon.mm.linux.rwp import common
from damon.model.scheme import Damos, DamosAction, DamosFilter, DamosFilterType
from damon.model.target import DamonTarget


def _has(monkeypatch: pytest.MonkeyPatch, error: int) -> None:
    monkeypatch.setattr(rwp, "lack", lambda: error)
    monkeypatch.setattr(inject, "available", lambda: True)


@pytest.fixture
def unprivileged(tmp_path: Path) -> LinuxMachine:
    """As a user's: /proc as it is, and no idle bitmap."""
    return LinuxMachine(sys=tmp_path)


def test_the_commands_and_the_library_have_the_same_choices() -> None:
    assert tuple(Access) == ACCESSES
    with pytest.raises(InvalidInput, match=r"^access: 'rpw': is not known; give one of auto, page_idle, rwp"):
        damon.open_machine(linux=True, access="rpw")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (errno.EOPNOTSUPP, "userfaultfd(2) has no read-write protection; boot 7.3 or later"),
        (errno.ENOSYS, "rwp: userfaultfd(2): Function not implemented; boot a kernel with CONFIG_USERFAULTFD"),
    ],
)
def test_a_kernel_without_it_is_named(
    unprivileged: LinuxMachine, monkeypatch: pytest.MonkeyPatch, error: int, said: str
) -> None:
    _has(monkeypatch, error)
    unprivileged.access = Access.RWP
    for work in (
        lambda: unprivileged.require("vaddr", []),
        lambda: unprivileged.open_process(os.getpid()),
        lambda: unprivileged.require("vaddr-exact", []),
    ):
        with pytest.raises(MissingCapability, match="rwp: ") as found:
            work()
        assert said in str(found.value)


def test_without_either_page_idle_is_asked_for(unprivileged: LinuxMachine, monkeypatch: pytest.MonkeyPatch) -> None:
    _has(monkeypatch, errno.EOPNOTSUPP)
    for work in (lambda: unprivileged.require("vaddr", []), lambda: unprivileged.open_process(os.getpid())):
        with pytest.raises(MissingCapability, match=r"CAP_|page_idle|bitmap"):
            work()


def test_auto_takes_it_where_page_idle_is_not_permitted(
    unprivileged: LinuxMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    _has(monkeypatch, 0)
    unprivileged.require("vaddr", ["stat"])
    with unprivileged, pytest.raises(MissingCapability):
        unprivileged.require("paddr", [])
    unprivileged.access = Access.PAGE_IDLE
    with pytest.raises(MissingCapability):
        unprivileged.require("vaddr", ["stat"])
    with pytest.raises(MissingCapability, match=r"^vaddr-exact: access page_idle: "):
        unprivileged.require("vaddr-exact", [])


@pytest.mark.parametrize(
    ("scheme", "said"),
    [
        (Damos(action=DamosAction.MIGRATE_COLD), "action migrate_cold"),
        (Damos(action=DamosAction.STAT, ops_filters=[DamosFilter(DamosFilterType.ANON, True)]), "filter "),
    ],
)
def test_what_needs_page_frame_numbers_is_refused_before_it_starts(
    unprivileged: LinuxMachine, monkeypatch: pytest.MonkeyPatch, scheme: Damos, said: str
) -> None:
    _has(monkeypatch, 0)
    library = Damon(unprivileged)
    ctx = library.new_ctx()
    library.select_ops(ctx, "vaddr")
    ctx.targets.append(DamonTarget(space=unprivileged.open_process(os.getpid())))
    ctx.schemes.append(scheme)
    with unprivileged, pytest.raises(DamonError, match=rf"^schemes\[0\]: {said}") as found:
        library.start([ctx])
    assert found.value.errno == errno.EPERM
    assert not library.is_running(ctx)


def test_a_process_that_may_not_be_traced_is_refused(
    unprivileged: LinuxMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    _has(monkeypatch, 0)
    monkeypatch.setattr(access, "may_be_traced", lambda _proc, _pid: False)
    unprivileged.access = Access.RWP
    with unprivileged, pytest.raises(DamonError, match=r"^pid: \d+: ptrace\(2\) is refused") as found:
        unprivileged.open_process(os.getpid())
    assert found.value.errno == errno.EPERM


RANGES = st.lists(st.integers(1, 9), max_size=20).map(
    lambda steps: [(sum(steps[: 2 * n + 1]), sum(steps[: 2 * n + 2])) for n in range(len(steps) // 2)]
)


@given(RANGES, RANGES)
def test_what_two_lists_of_ranges_have_in_common(one: list[tuple[int, int]], other: list[tuple[int, int]]) -> None:
    both = {at for start, end in one for at in range(start, end)} & {
        at for start, end in other for at in range(start, end)
    }
    found = common(one, other)
    assert [at for start, end in found for at in range(start, end)] == sorted(both)
