# SPDX-License-Identifier: GPL-2.0-only
"""Thousands of schemes: what is made and looked at grows as they do, not as their square. Counted, not timed."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from typing import Any, SupportsIndex

import pytest

from damon.core.events import BEFORE_APPLY, ESZ, STAT
from damon.errors import DamonError
from damon.model.context import DamosWalkControl
from damon.model.scheme import Damos
from damon.modules.sysfs import build
from damon.modules.sysfs.schemes import Scheme
from tests.modules.sysfs.conftest import C, Tree

MANY = 3000


def _stage(tree: Tree, nr_schemes: int) -> None:
    tree.stage("paddr", nr_schemes, regions=((0, 1 << 30),))
    tree.write(f"{C}/monitoring_attrs/intervals/aggr_us", 5000)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """One entry for each scheme's directory that is made."""
    count: list[int] = []
    init = Scheme.__init__

    def counting(self: Scheme, *words: Any) -> None:
        count.append(1)
        init(self, *words)

    monkeypatch.setattr(Scheme, "__init__", counting)
    return count


def test_directories_are_made_when_they_are_used(tree: Tree, made: list[int]) -> None:
    _stage(tree, MANY)
    tree.write(f"{C}/schemes/7/action", "pageout")
    tree.state("on")
    assert [scheme.action.value for scheme in tree.ctx.schemes[6:9]] == ["stat", "pageout", "stat"]
    parts = [(s.pattern, s.quota, s.quota.goals, s.wmarks, s.stat, s.core_filters, s.ops_filters, s.migrate_dests)
             for s in tree.ctx.schemes]  # fmt: skip
    assert len({id(part) for scheme in parts for part in scheme}) == 8 * MANY  # nothing is shared
    tree.machine.clock.sleep_us(20_000)
    for command in ("commit", "update_schemes_stats", "update_schemes_effective_quotas", "update_schemes_tried_regions",
                    "update_schemes_tried_bytes", "clear_schemes_tried_regions", "commit_schemes_quota_goals",
                    "update_tuned_intervals"):  # fmt: skip
        tree.state(command)
    tree.state("off")
    assert len(made) < 10


def test_a_directory_that_comes_later_shows_what_was_updated_before(tree: Tree, made: list[int]) -> None:
    _stage(tree, 5)
    tree.write(f"{C}/schemes/1/quotas/bytes", 8192)
    tree.state("on")
    tree.machine.clock.sleep_us(20_000)
    tree.state("update_schemes_stats")
    tree.state("update_schemes_effective_quotas")
    seen = {int(tree.read(f"{C}/schemes/{index}/stats/nr_snapshots")) for index in range(5)}
    assert len(seen) == 1
    assert 0 < seen.pop() <= tree.ctx.schemes[0].stat.nr_snapshots
    assert tree.read(f"{C}/schemes/1/quotas/effective_bytes") == "8192\n"
    tree.write(f"{C}/schemes/nr_schemes", 5)  # anew: nothing was updated in these
    assert tree.read(f"{C}/schemes/4/stats/nr_snapshots") == "0\n"
    assert tree.read(f"{C}/schemes/1/quotas/effective_bytes") == "0\n"


def test_too_many_are_refused(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "MAX_SCHEMES", 10)
    _stage(tree, 11)
    with pytest.raises(DamonError, match=r"^scheme: schemes: 11: are too many; give at most 10") as caught:
        tree.state("on")
    assert caught.value.errno == errno.ENOMEM
    tree.write(f"{C}/schemes/nr_schemes", 10)
    tree.state("on")
    tree.state("off")


class Looked(list[Damos]):
    """Counts the schemes that are read from a context's list."""

    looked = 0

    def __iter__(self) -> Iterator[Damos]:
        for scheme in super().__iter__():
            self.looked += 1
            yield scheme

    def index(self, value: Damos, start: SupportsIndex = 0, stop: SupportsIndex = 1 << 60) -> int:
        found = super().index(value, start, stop)
        self.looked += found
        return found


def _walk(tree: Tree) -> None:
    tree.damon.walk(tree.ctx, DamosWalkControl(lambda *words: None))


def _commands(tree: Tree) -> None:
    for command in ("commit", "update_schemes_stats", "update_schemes_tried_regions", "update_schemes_tried_bytes"):
        tree.state(command)


def _listen(tree: Tree) -> None:
    queue = tree.damon.trace.queue([STAT, ESZ, BEFORE_APPLY])
    tree.machine.clock.sleep_us(20_000)
    queue.close()


@pytest.mark.parametrize("use", [_walk, _commands, _listen])
def test_work_grows_with_the_number_of_schemes(use: Callable[[Tree], None]) -> None:
    def looked(nr_schemes: int) -> int:
        tree = Tree()
        _stage(tree, nr_schemes)
        tree.any_pattern(f"{C}/schemes/{nr_schemes - 1}")
        tree.state("on")
        tree.ctx.schemes = seen = Looked(tree.ctx.schemes)
        use(tree)
        tree.ctx.schemes = list(seen)
        tree.state("off")
        return seen.looked

    few, many = looked(300), looked(1200)
    assert few > 0
    assert many < 6 * few  # 16 times when each looks for itself among all others
