# SPDX-License-Identifier: GPL-2.0-only
"""Files that only the level ``next`` has, values that only it takes, and that they arrive."""

from __future__ import annotations

import errno

import pytest

from damon.model.probe import DamonFilter, DamonFilterType, DamonPrep, DamonProbe
from damon.model.scheme import DamosFilter, DamosFilterType
from tests.modules.sysfs.conftest import Tree
from tests.refusals import refused

C = "kdamonds/0/contexts/0"
P = f"{C}/monitoring_attrs/probes/0"
S = f"{C}/schemes/0"
FILES = [f"{P}/preps", f"{P}/preps/nr_preps", f"{P}/filters/0/min", f"{P}/filters/0/max"]


def _staged(tree: Tree, ops: str = "paddr") -> Tree:
    tree.stage(ops, schemes=1, regions=((0, 1 << 20),))
    tree.write(f"{C}/monitoring_attrs/probes/nr_probes", 1)
    tree.write(f"{P}/filters/nr_filters", 2)
    for layer in ("core_filters", "filters", "ops_filters"):
        tree.write(f"{S}/{layer}/nr_filters", 1)
    return tree


def test_7_3_has_no_such_files_and_takes_no_such_values(tree: Tree) -> None:
    _staged(tree)
    assert [path for path in FILES if tree.has(path)] == []
    for kind in ("pgidle_unset", "pgidle_set", "hugepage_size"):
        tree.refuse(errno.EINVAL, f"{P}/filters/0/type", kind)
    for layer in ("core_filters", "filters", "ops_filters"):
        tree.refuse(errno.EINVAL, f"{S}/{layer}/0/type", "probe_hits_wsum")


def test_files_and_defaults_of_the_level_next(next_tree: Tree) -> None:
    tree = _staged(next_tree)
    before = {path for path, _ in _staged(Tree()).admin.walk()}
    added = {path for path, _ in tree.admin.walk()} - before
    assert added == {f"{P}/filters/{n}/{name}" for n in (0, 1) for name in ("min", "max")} | set(FILES)
    assert [tree.read(path) for path in FILES[1:]] == ["0\n", "0\n", "0\n"]
    tree.write(f"{P}/preps/nr_preps", 2)
    for number in (0, 1):
        assert tree.read(f"{P}/preps/{number}/prep_action") == "set_pgidle\n"
    tree.refuse(errno.EINVAL, f"{P}/preps/0/prep_action", "foo")
    tree.write(f"{P}/preps/0/prep_action", "set_pgidle")
    tree.refuse(errno.EINVAL, f"{P}/preps/nr_preps", -1)
    tree.write(f"{P}/preps/nr_preps", 0)
    assert not tree.has(f"{P}/preps/0")
    tree.refuse(errno.EINVAL, f"{S}/ops_filters/0/type", "probe_hits_wsum")
    for layer in ("core_filters", "filters"):
        tree.write(f"{S}/{layer}/0/type", "probe_hits_wsum")


def test_everything_of_the_level_next_arrives(next_tree: Tree) -> None:
    tree = _staged(next_tree)
    tree.write(f"{P}/preps/nr_preps", 1)
    for number, kind in enumerate(("pgidle_set", "hugepage_size")):
        tree.fill(f"{P}/filters/{number}", {"type": kind, "allow": "Y", "min": 4096, "max": 8192})
    tree.fill(f"{S}/core_filters/0", {"type": "probe_hits_wsum", "matching": "Y", "min": 3, "max": 30})
    tree.state("on")
    size = DamonFilter(DamonFilterType.HUGEPAGE_SIZE, False, True, range_min=4096, range_max=8192)
    idle = DamonFilter(DamonFilterType.PGIDLE_SET, False, True)
    assert tree.ctx.probes == [DamonProbe(0, [idle, size], [DamonPrep()])]
    wanted = DamosFilter(DamosFilterType.PROBE_HITS_WSUM, True, False, range_min=3, range_max=30)
    assert tree.ctx.schemes[0].core_filters == [wanted]
    tree.write(f"{P}/preps/nr_preps", 0)
    tree.write(f"{P}/filters/0/type", "pgidle_unset")
    tree.state("commit")
    assert (tree.ctx.probes[0].preps, tree.ctx.probes[0].filters[0].type) == ([], DamonFilterType.PGIDLE_UNSET)


@pytest.mark.parametrize(
    ("directory", "kind", "number"),
    [(f"{P}/filters/0", "hugepage_size", errno.EINVAL), (f"{S}/core_filters/0", "probe_hits_wsum", errno.ENOMEM)],
)
def test_a_range_that_ends_before_it_begins(next_tree: Tree, directory: str, kind: str, number: int) -> None:
    tree = _staged(next_tree)
    tree.fill(directory, {"type": kind, "min": 8, "max": 7})
    with refused(number):
        tree.state("on")
    assert tree.read("kdamonds/0/state") == "off\n"
