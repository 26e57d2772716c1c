# SPDX-License-Identifier: GPL-2.0-only
"""Names of what was monitored: the mappings that a recording keeps beside its file (``FILE.vmas``)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from damon.records.siblings import beside

#: start, end, name
Mapping = tuple[int, int, str]


def mappings(path: Path, target: int) -> list[Mapping]:
    """The last known mappings of the ``target``-th process of the recording at ``path``; none where they were not
    recorded, or the file beside it is not as expected."""
    looks = beside(path, "vmas")
    try:
        return [_mapping(vma) for vma in looks[-1]["procvmas"][target]["vmas"]]
    except (KeyError, IndexError, TypeError):
        return []


def _mapping(vma: dict[str, Any]) -> Mapping:
    start, end, name = vma["start"], vma["end"], vma["name"]
    if not (type(start) is type(end) is int and isinstance(name, str)):
        raise TypeError
    return start, end, name


def names_in(known: Sequence[Mapping], start: int, end: int) -> list[str]:
    """What lies in ``[start, end)``, by address, each name once; mappings without a name are left out."""
    found = sorted((low, name) for low, high, name in known if low < end and high > start and name.strip("0"))
    return list(dict.fromkeys(name for _, name in found))
