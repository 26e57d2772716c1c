# SPDX-License-Identifier: GPL-2.0-only
"""Which files there are, their modes, formats and defaults; counts of directories (sysfs 1 to 3)."""

from __future__ import annotations

import errno

import pytest
from hypothesis import given
from hypothesis import strategies as st

from damon.errors import DamonError
from damon.modules.sysfs import Directory, File
from damon.modules.sysfs.values import MAX_CHILDREN
from tests.modules.sysfs.conftest import C, S, Tree
from tests.refusals import refused

F = f"{S}/filters/0"
#: Path, what it shows at first; "r" at the end: read only.
FILES = f"""
kdamonds/0/state off
kdamonds/0/pid -1 r
kdamonds/0/refresh_ms 0
kdamonds/0/contexts/nr_contexts 1
{C}/avail_operations vaddr+fvaddr+paddr r
{C}/operations vaddr
{C}/addr_unit 1
{C}/pause N
{C}/monitoring_attrs/intervals/sample_us 5000
{C}/monitoring_attrs/intervals/aggr_us 100000
{C}/monitoring_attrs/intervals/update_us 60000000
{C}/monitoring_attrs/intervals/intervals_goal/access_bp 0
{C}/monitoring_attrs/intervals/intervals_goal/aggrs 0
{C}/monitoring_attrs/intervals/intervals_goal/min_sample_us 0
{C}/monitoring_attrs/intervals/intervals_goal/max_sample_us 0
{C}/monitoring_attrs/nr_regions/min 10
{C}/monitoring_attrs/nr_regions/max 1000
{C}/monitoring_attrs/probes/nr_probes 1
{C}/monitoring_attrs/probes/0/weight 0
{C}/monitoring_attrs/probes/0/filters/nr_filters 1
{C}/monitoring_attrs/probes/0/filters/0/type anon
{C}/monitoring_attrs/probes/0/filters/0/matching N
{C}/monitoring_attrs/probes/0/filters/0/allow N
{C}/monitoring_attrs/probes/0/filters/0/path
{C}/targets/nr_targets 1
{C}/targets/0/pid_target 0
{C}/targets/0/obsolete_target N
{C}/targets/0/regions/nr_regions 1
{C}/targets/0/regions/0/start 0
{C}/targets/0/regions/0/end 0
{C}/schemes/nr_schemes 1
{S}/action stat
{S}/apply_interval_us 0
{S}/target_nid -1
{S}/access_pattern/sz/min 0
{S}/access_pattern/sz/max 0
{S}/access_pattern/nr_accesses/min 0
{S}/access_pattern/nr_accesses/max 0
{S}/access_pattern/age/min 0
{S}/access_pattern/age/max 0
{S}/quotas/ms 0
{S}/quotas/bytes 0
{S}/quotas/reset_interval_ms 0
{S}/quotas/effective_bytes 0 r
{S}/quotas/goal_tuner consist
{S}/quotas/fail_charge_num 0
{S}/quotas/fail_charge_denom 0
{S}/quotas/weights/sz_permil 0
{S}/quotas/weights/nr_accesses_permil 0
{S}/quotas/weights/age_permil 0
{S}/quotas/goals/nr_goals 1
{S}/quotas/goals/0/target_metric user_input
{S}/quotas/goals/0/target_value 0
{S}/quotas/goals/0/current_value 0
{S}/quotas/goals/0/nid 0
{S}/quotas/goals/0/path
{S}/watermarks/metric none
{S}/watermarks/interval_us 0
{S}/watermarks/high 0
{S}/watermarks/mid 0
{S}/watermarks/low 0
{S}/filters/nr_filters 1
{S}/core_filters/nr_filters 1
{S}/ops_filters/nr_filters 1
{F}/type anon
{F}/matching N
{F}/allow N
{F}/memcg_path
{F}/addr_start 0
{F}/addr_end 0
{F}/min 0
{F}/max 0
{F}/damon_target_idx 0
{S}/core_filters/0/type anon
{S}/ops_filters/0/type anon
{S}/dests/nr_dests 1
{S}/dests/0/id 0
{S}/dests/0/weight 0
{S}/stats/nr_tried 0 r
{S}/stats/sz_tried 0 r
{S}/stats/nr_applied 0 r
{S}/stats/sz_applied 0 r
{S}/stats/sz_ops_filter_passed 0 r
{S}/stats/qt_exceeds 0 r
{S}/stats/nr_snapshots 0 r
{S}/stats/max_nr_snapshots 0
{S}/tried_regions/total_bytes 0 r
kdamonds/nr_kdamonds 1
""".split("\n")[1:-1]
COUNTS = [
    "kdamonds/nr_kdamonds", "kdamonds/0/contexts/nr_contexts", f"{C}/monitoring_attrs/probes/nr_probes",
    f"{C}/monitoring_attrs/probes/0/filters/nr_filters", f"{C}/targets/nr_targets", f"{C}/targets/0/regions/nr_regions",
    f"{C}/schemes/nr_schemes", f"{S}/quotas/goals/nr_goals", f"{S}/filters/nr_filters", f"{S}/core_filters/nr_filters",
    f"{S}/ops_filters/nr_filters", f"{S}/dests/nr_dests",
]  # fmt: skip


@pytest.fixture
def full(tree: Tree) -> Tree:
    """One of everything."""
    for path in COUNTS:
        tree.write(path, 1)
    return tree


def test_at_boot_there_is_one_file(tree: Tree) -> None:
    assert [path for path, _ in tree.admin.walk()] == ["kdamonds", "kdamonds/nr_kdamonds"]
    assert tree.read("kdamonds/nr_kdamonds") == "0\n"


def test_every_file_of_the_specification_and_no_other(full: Tree) -> None:
    expected = {}
    for line in FILES:
        path, *words = line.split(" ")
        shown = words[0].replace("+", "\n") if words and words[0] else ""
        expected[path] = (shown + "\n", 0o400 if words[1:] == ["r"] else 0o600)
    found = {path: node for path, node in full.admin.walk() if isinstance(node, File)}
    other = {path for path in found if path.startswith((f"{S}/core_filters/0/", f"{S}/ops_filters/0/"))}
    assert set(found) - other == set(expected) - other
    assert {path.split("/")[-1] for path in other} == {path.split("/")[-1] for path in expected if path.startswith(F)}
    for path, (shown, mode) in expected.items():
        assert (path, found[path].read().decode(), found[path].mode) == (path, shown, mode)
    assert all(node.mode == 0o755 for _, node in full.admin.walk() if isinstance(node, Directory))


KINDS = {
    "ulong": ["kdamonds/0/contexts/0/monitoring_attrs/intervals/sample_us", f"{S}/access_pattern/sz/max", f"{F}/min"],
    "uint": ["kdamonds/0/refresh_ms", f"{S}/dests/0/weight", f"{S}/quotas/weights/age_permil"],
    "int": [f"{S}/target_nid", f"{S}/quotas/goals/0/nid", f"{F}/damon_target_idx"],
    "bool": [f"{C}/pause", f"{F}/matching", f"{C}/targets/0/obsolete_target"],
}
TAKEN = {
    "ulong": {"5": "5", "+0x1f": "31", "017": "15", str(2**64 - 1): str(2**64 - 1)},
    "uint": {"5": "5", "0xffffffff": "4294967295"},
    "int": {"5": "5", "-1": "-1", "-0x80000000": "-2147483648", "2147483647": "2147483647"},
    "bool": {"Y": "Y", "y": "Y", "1": "Y", "True": "Y", "on": "Y", "N": "N", "0": "N", "False": "N", "of": "N"},
}
REFUSED = {
    "ulong": {"": errno.EINVAL, "-1": errno.EINVAL, "5x": errno.EINVAL, " 5": errno.EINVAL, str(2**64): errno.ERANGE},
    "uint": {"": errno.EINVAL, "-1": errno.EINVAL, "4294967296": errno.ERANGE, str(2**70): errno.ERANGE},
    "int": {"": errno.EINVAL, "x": errno.EINVAL, "2147483648": errno.ERANGE, "-2147483649": errno.ERANGE},
    "bool": {"": errno.EINVAL, "x": errno.EINVAL, "o": errno.EINVAL, "2": errno.EINVAL},
}


@pytest.mark.parametrize("kind", KINDS)
def test_value_grammar(full: Tree, kind: str) -> None:
    for path in KINDS[kind]:
        for text, shown in TAKEN[kind].items():
            for end in (b"", b"\n", b"\0junk"):
                full.write(path, text.encode() + end)
                assert full.read(path) == shown + "\n"
        for text, number in REFUSED[kind].items():
            full.refuse(number, path, text)


@pytest.mark.parametrize(
    "path",
    [f"{C}/targets/0/pid_target", f"{S}/quotas/ms", f"{S}/quotas/bytes", f"{S}/quotas/reset_interval_ms",
     f"{S}/quotas/fail_charge_num", f"{S}/quotas/fail_charge_denom"],
)  # fmt: skip
def test_files_whose_every_parse_error_is_einval(full: Tree, path: str) -> None:
    full.refuse(errno.EINVAL, path, 2**70)


@pytest.mark.parametrize(
    ("path", "words"),
    [
        (f"{C}/operations", "vaddr fvaddr paddr"),
        (
            f"{S}/action",
            "willneed cold pageout hugepage nohugepage collapse lru_prio lru_deprio migrate_hot migrate_cold stat",
        ),
        (f"{S}/quotas/goal_tuner", "consist temporal"),
        (
            f"{S}/quotas/goals/0/target_metric",
            "user_input some_mem_psi_us node_mem_used_bp node_mem_free_bp node_memcg_used_bp node_memcg_free_bp "
            "active_mem_bp inactive_mem_bp node_eligible_mem_bp",
        ),
        (f"{S}/watermarks/metric", "none free_mem_rate"),
        (f"{F}/type", "anon active memcg young hugepage_size unmapped addr target"),
        (f"{S}/core_filters/0/type", "addr target"),
        (f"{S}/ops_filters/0/type", "anon active memcg young hugepage_size unmapped"),
        (f"{C}/monitoring_attrs/probes/0/filters/0/type", "anon memcg"),
    ],
)
def test_keywords(full: Tree, path: str, words: str) -> None:
    for word in words.split():
        full.write(path, word)
        assert full.read(path) == f"{word}\n"
    for wrong in ("", "x", word.upper(), f"{word} ", f"{word}\n", " " + word):
        full.refuse(errno.EINVAL, path, wrong)
    if "core_filters" in path:
        full.refuse(errno.EINVAL, path, "anon")
    if "ops_filters" in path:
        full.refuse(errno.EINVAL, path, "addr")


def test_path_files_keep_the_newline_and_show_another(full: Tree) -> None:
    for path in (f"{F}/memcg_path", f"{S}/quotas/goals/0/path", f"{C}/monitoring_attrs/probes/0/filters/0/path"):
        full.write(path, b"/a/b\n")
        assert full.read(path) == "/a/b\n\n"
        full.write(path, b"/a")
        assert full.read(path) == "/a\n"


def test_addr_unit_0_is_refused_at_once(full: Tree) -> None:
    full.refuse(errno.EINVAL, f"{C}/addr_unit", 0)


@pytest.mark.parametrize("path", COUNTS)
def test_a_count_makes_its_directories_anew(full: Tree, path: str) -> None:
    parent = path.rpartition("/")[0]
    old = full.admin.find(f"{parent}/0")
    full.write(path, 1)
    new = full.admin.find(f"{parent}/0")
    assert new is not old
    assert old.removed
    assert not new.removed
    full.write(path, 0)
    assert full.read(path) == "0\n"
    directory = full.admin.find(parent)
    assert isinstance(directory, Directory)
    assert directory.names() == [path.rpartition("/")[2]]
    for text, number in {"-1": errno.EINVAL, "x": errno.EINVAL, "2147483648": errno.ERANGE}.items():
        full.refuse(number, path, text)
    limit = {"nr_contexts": 1, "nr_probes": 4}.get(path.rpartition("/")[2])
    if limit:
        full.write(path, limit)
        full.refuse(errno.EINVAL, path, limit + 1)
    else:
        full.write(path, 3)
        with refused(errno.ENOMEM):
            full.write(path, MAX_CHILDREN + 1)
        assert full.read(path) == "0\n"  # removed, and nothing came


def test_values_are_defaults_again_after_the_count_was_written(full: Tree) -> None:
    full.write(f"{S}/action", "pageout")
    full.write(f"{C}/schemes/nr_schemes", 1)
    assert full.read(f"{S}/action") == "stat\n"


def test_files_of_removed_directories_are_gone(full: Tree) -> None:
    deep, count = full.admin.find(f"{F}/min"), full.admin.find(f"{S}/filters/nr_filters")
    assert isinstance(deep, File)
    assert isinstance(count, File)
    full.write("kdamonds/nr_kdamonds", 1)
    for file in (deep, count):
        for use in (file.read, lambda file=file: file.write(b"1")):
            with refused(errno.ENODEV):
                use()
    with refused(errno.ENOENT):
        full.read(f"{F}/min")


def test_directories_have_the_names_of_numbers_only(full: Tree) -> None:
    for name in ("00", "1", "-0", "+0", " 0", "٠", "state"):
        assert not full.has(f"kdamonds/{name}/pid")


def test_a_million_directories_cost_nothing_until_they_are_asked_for(full: Tree) -> None:
    full.write(f"{C}/schemes/nr_schemes", MAX_CHILDREN)
    last = f"{C}/schemes/{MAX_CHILDREN - 1}"
    full.write(f"{last}/action", "pageout")
    assert full.read(f"{last}/action") == "pageout\n"
    assert not full.has(f"{C}/schemes/{MAX_CHILDREN}")


def test_one_request_at_a_time(full: Tree) -> None:
    """Files that take the lock say EBUSY meanwhile; plain values do not care."""
    with full.admin.lock.held():
        for path in ("kdamonds/0/state", "kdamonds/0/pid"):
            with refused(errno.EBUSY):
                full.read(path)
        for path in (*COUNTS, "kdamonds/0/state"):
            with refused(errno.EBUSY):
                full.write(path, "1")
        full.write(f"{S}/quotas/ms", 5)
        assert full.read("kdamonds/nr_kdamonds") == "1\n"
        with refused(errno.EINVAL):
            full.write("kdamonds/nr_kdamonds", -1)


def test_read_only_files_refuse_writes(full: Tree) -> None:
    for line in FILES:
        if line.endswith(" r"):
            full.refuse(errno.EACCES, line.split(" ", maxsplit=1)[0], 1)


def test_writes_are_a_page_at_most_and_empty_ones_do_nothing(full: Tree) -> None:
    file = full.admin.find(f"{F}/memcg_path")
    assert isinstance(file, File)
    assert file.write(b"x" * 5000) == 4096
    assert file.write(b"") == 0
    assert file.read() == b"x" * 4096  # a page is shown at most


@given(data=st.binary(max_size=40), which=st.sampled_from([line.split(" ")[0] for line in FILES]))
def test_any_write_is_taken_or_refused_with_an_errno(data: bytes, which: str) -> None:
    tree = Tree()
    for path in COUNTS:
        tree.write(path, 1)
    file = tree.admin.find(which)
    assert isinstance(file, File)
    before = file.read()
    try:
        assert file.write(data) == len(data)
    except DamonError as error:
        assert error.errno in (errno.EINVAL, errno.ERANGE, errno.EACCES, errno.ENOMEM, errno.ENODEV)
        if error.errno != errno.ENOMEM:
            assert file.read() == before
    tree.admin.stop()
