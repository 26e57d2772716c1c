# SPDX-License-Identifier: GPL-2.0-only
"""NUMA nodes and cgroups from made-up sysfs trees (damos 6.2b)."""

from __future__ import annotations

from pathlib import Path

import pytest

from damon.errors import InvalidInput
from damon.mm.linux.nodes import LinuxNodes, id_list, joined, zone_spans
from tests.files import lay

MIB = 1 << 20
ZONEINFO = """\
Node 0, zone      DMA
  per-node stats
      nr_inactive_anon 1
  pages free     3840
        boost    0
        min      14
        spanned  4095
        present  3998
        managed  3840
        cma      0
  start_pfn:           1
Node 0, zone    DMA32
  pages free     126437
        spanned  126976
        present  126976
        managed  122880
  start_pfn:           4096
Node 1, zone    DMA32
  pages free     0
        spanned  0
        present  0
        managed  0
Node 1, zone   Normal
  pages free     10
        spanned  262144
        present  262144
        managed  250000
  start_pfn:           1048576
"""
MEMINFO = """\
Node {n} MemTotal:         {total} kB
Node {n} MemFree:          {free} kB
Node {n} MemUsed:          {total} kB
Node {n} Active:           999999 kB
Node {n} Active(anon):     40 kB
Node {n} Inactive(anon):   400 kB
Node {n} Active(file):     4000 kB
Node {n} Inactive(file):   40000 kB
Node {n} Unevictable:      400000 kB
"""
NUMA_STAT = """\
anon N0=999999 N1=999999
active_anon N0=4096 N1=8192 N10=4096000
inactive_anon N0=40960 N1=0
inactive_file N1=409600 N0=12288
active_file N0=0 N1=4096
unevictable N0=999999 N1=999999
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    nodes = tmp_path / "sys/devices/system/node"
    for nid, blocks in ((0, (0, 1, 4)), (1, (2, 3)), (2, ())):
        meminfo = MEMINFO.format(n=nid, total=4000 * (nid + 1), free=400)
        below = ["memory_side_cache/", *(f"memory{block}/" for block in blocks)]
        lay(nodes / f"node{nid}", {"meminfo": meminfo, **dict.fromkeys(below, "")})
    lay(nodes.parent, {"node/has_memory": "0-1\n", "memory/block_size_bytes": "8000000\n"})
    return lay(tmp_path, {"proc/zoneinfo": ZONEINFO, "sys/fs/cgroup/a/b/memory.numa_stat": NUMA_STAT})


def _nodes(tree: Path) -> LinuxNodes:
    return LinuxNodes(tree / "proc", tree / "sys")


def test_spans_by_memory_blocks(tree: Path) -> None:
    assert _nodes(tree).spans() == [(0, 256 * MIB, 0), (256 * MIB, 512 * MIB, 1), (512 * MIB, 640 * MIB, 0)]


def test_spans_by_zones_without_memory_hotplug(tree: Path) -> None:
    (tree / "sys/devices/system/memory/block_size_bytes").unlink()
    assert _nodes(tree).spans() == zone_spans(ZONEINFO) == [(4096, 131072 * 4096, 0), (1 << 32, 5 << 30, 1)]


def test_a_kernel_without_numa_has_no_spans(tree: Path) -> None:
    (tree / "sys/devices/system/node/has_memory").unlink()
    nodes = _nodes(tree)
    assert nodes.spans() == ()
    assert nodes.mem(0) is None


def test_memory_of_nodes(tree: Path) -> None:
    nodes = _nodes(tree)
    assert nodes.mem(0) == (100, 1000)
    assert nodes.mem(1) == (100, 2000)
    assert [nodes.mem(nid) for nid in (-1, 2, 3)] == [None] * 3  # node 2 is there, without memory


def test_cgroups_on_nodes(tree: Path) -> None:
    nodes, path = _nodes(tree), tree / "sys/fs/cgroup/a/b"
    inode = path.stat().st_ino
    for _ in range(2):  # found, and known
        assert nodes.memcg_pages(0, inode) == 1 + 10 + 3
        assert nodes.memcg_pages(1, inode) == 2 + 100 + 1
    assert nodes.memcg_pages(3, inode) is None
    assert nodes.memcg_pages(0, 999999999) is None
    assert nodes.memcg_pages(0, (tree / "sys/fs/cgroup").stat().st_ino) == 10 + 100 + 1000 + 10000
    (path / "memory.numa_stat").unlink()
    assert nodes.memcg_pages(0, inode) is None
    path.rmdir()
    assert nodes.memcg_pages(0, inode) is None


def test_cgroups_by_path(tree: Path) -> None:
    nodes, root = _nodes(tree), tree / "sys/fs/cgroup"
    assert nodes.memcg_id("/a/b") == (root / "a/b").stat().st_ino
    assert nodes.memcg_id("/") == root.stat().st_ino
    for wrong in ("", "a/b", "/a/", "/a/../a", "/..", "/a/b/memory.numa_stat", "/c", "/a\n", "//a"):
        with pytest.raises(InvalidInput):
            nodes.memcg_id(wrong)


def test_lists_of_ids() -> None:
    assert id_list("0-2,5,7-8\n") == [0, 1, 2, 5, 7, 8]
    assert id_list("\n") == []


def test_neighbours_of_one_node_are_joined() -> None:
    assert joined([(4, 6, 1), (0, 2, 0), (2, 4, 0), (8, 9, 1)]) == [(0, 4, 0), (4, 6, 1), (8, 9, 1)]
