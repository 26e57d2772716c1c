# SPDX-License-Identifier: GPL-2.0-only
"""NUMA nodes and what cgroups have on them, from sysfs and the cgroup file system (DAMON spec, damos 6.2b)."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from damon.errors import InvalidInput
from damon.model.machine import PAGE_SIZE

_LRU: Final = ("active_anon", "inactive_anon", "active_file", "inactive_file")
_ROOT_LRU: Final = ("Active(anon)", "Inactive(anon)", "Active(file)", "Inactive(file)")


def id_list(text: str) -> list[int]:
    """``0-1,4`` as numbers, as sysfs has sets of CPUs and nodes."""
    found: list[int] = []
    for part in text.strip().split(","):
        first, _, last = part.partition("-")
        if first:
            found.extend(range(int(first), int(last or first) + 1))
    return found


def zone_spans(zoneinfo: str) -> list[tuple[int, int, int]]:
    """``(start, end, nid)`` in bytes of each populated zone of ``/proc/zoneinfo``, holes in it included."""
    spans = []
    for part in re.split(r"^Node ", zoneinfo, flags=re.MULTILINE)[1:]:
        nid = int(part.partition(",")[0])
        facts = dict(re.findall(r"^\s+(spanned|present|start_pfn):?\s+(\d+)", part, re.MULTILINE))
        if int(facts.get("present", 0)):
            start = int(facts["start_pfn"])
            spans.append((start * PAGE_SIZE, (start + int(facts["spanned"])) * PAGE_SIZE, nid))
    return joined(spans)


def joined(spans: list[tuple[int, int, int]]) -> list[tuple[int, int, int]]:
    """In address order, neighbours of one node as one."""
    result: list[tuple[int, int, int]] = []
    for start, end, nid in sorted(spans):
        if result and result[-1][1] == start and result[-1][2] == nid:
            result[-1] = result[-1][0], end, nid
        else:
            result.append((start, end, nid))
    return result


class LinuxNodes:
    """The nodes of the system whose ``proc`` and ``sys`` are given; nothing is remembered, memory comes and goes."""

    def __init__(self, proc: Path, sys: Path) -> None:
        self._proc = proc
        self._nodes = sys / "devices/system/node"
        self._blocks = sys / "devices/system/memory/block_size_bytes"
        self._cgroup = sys / "fs/cgroup"
        self._cgroups: dict[int, Path] = {}

    def spans(self) -> Sequence[tuple[int, int, int]]:
        """``(start, end, nid)`` in bytes: by memory blocks, or by zones on a kernel without memory hot-plug."""
        with_memory = self._with_memory()
        if not with_memory:
            return ()
        try:
            size = int(self._blocks.read_text(), 16)
        except OSError:
            return zone_spans((self._proc / "zoneinfo").read_text())
        spans = []
        for nid in with_memory:
            for name in os.listdir(self._nodes / f"node{nid}"):
                if name.startswith("memory") and name[6:].isdigit():
                    spans.append((int(name[6:]) * size, (int(name[6:]) + 1) * size, nid))
        return joined(spans)

    def _with_memory(self) -> list[int]:
        try:
            return id_list((self._nodes / "has_memory").read_text())
        except OSError:  # a kernel without NUMA
            return []

    def _meminfo(self, nid: int) -> dict[str, int] | None:
        """Pages by name of ``nodeN/meminfo``; None when there is no such node, or it has no memory."""
        if nid not in self._with_memory():
            return None
        text = (self._nodes / f"node{nid}/meminfo").read_text()
        found = re.findall(r"^Node \d+ (\S+):\s+(\d+) kB", text, re.MULTILINE)
        return {name: int(kib) * 1024 // PAGE_SIZE for name, kib in found}

    def mem(self, nid: int) -> tuple[int, int] | None:
        """Free and total pages."""
        info = self._meminfo(nid)
        return None if info is None else (info["MemFree"], info["MemTotal"])

    def memcg_pages(self, nid: int, memcg_id: int) -> int | None:
        """Pages on LRU lists. The id is the cgroup directory's inode number, as in ``/proc/kpagecgroup``."""
        info, path = self._meminfo(nid), self._find(memcg_id)
        if info is None or path is None:
            return None
        if path == self._cgroup:  # the root has no such file: all of the node is its own
            return sum(info[name] for name in _ROOT_LRU)
        try:
            text = (path / "memory.numa_stat").read_text()
        except OSError:  # removed meanwhile, or without memory controller
            return None
        counts = dict(line.split(" ", 1) for line in text.splitlines())
        sizes = (re.search(rf"\bN{nid}=(\d+)", counts.get(name, "")) for name in _LRU)
        return sum(int(size[1]) for size in sizes if size) // PAGE_SIZE

    def memcg_id(self, path: str) -> int:
        """The inode number of the cgroup ``path``, from the root of the hierarchy; EINVAL when there is none."""
        directory = self._cgroup / path.lstrip("/")
        if not path.startswith("/") or path[1:2] == "/" or path != os.path.normpath(path) or not directory.is_dir():
            raise InvalidInput(
                f"memcg path: {path!r}: is not a cgroup; give one below {self._cgroup}, for example /system"
            )
        return directory.stat().st_ino

    def _find(self, memcg_id: int) -> Path | None:
        known = self._cgroups.get(memcg_id)
        if known is not None and _inode(known) == memcg_id:
            return known
        for path in _directories(self._cgroup):
            if _inode(path) == memcg_id:
                self._cgroups[memcg_id] = path
                return path
        return None


def _inode(path: Path) -> int:
    try:
        return path.stat().st_ino
    except OSError:
        return 0


def _directories(top: Path) -> Iterator[Path]:
    for path, _, _ in os.walk(top):
        yield Path(path)
