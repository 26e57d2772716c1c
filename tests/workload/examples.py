# SPDX-License-Identifier: GPL-2.0-only
"""A workload file with every kind of thing in it, and the same with one field changed."""

from __future__ import annotations

import copy
from typing import Any

GOOD: dict[str, Any] = {
    "areas": {"a": {"size": "1 MiB"}, "b": {"size": 8192, "kind": "file", "process": "other", "mapped": False}},
    "processes": {"main": {"memcg": "web"}},
    "phases": [
        {"duration": "1s", "access": [{"area": "a", "rate": "2k", "pattern": "zipf", "skew": 0.5, "write": 0}]},
        {"name": "late", "duration": 1000, "mmap": ["b"], "access": [{"area": "b", "rate": 5, "stride": "4K"}]},
    ],
    "machine": {"memory": "64M", "reserved": "8M", "swap": "none"},
}


def changed(path: str, value: Any) -> dict[str, Any]:
    """GOOD with one field changed; ``path`` as in the messages."""
    data = copy.deepcopy(GOOD)
    place: Any = data
    keys = [int(k) if k.isdigit() else k for k in path.replace("[", ".").replace("]", "").split(".")]
    for key in keys[:-1]:
        place = place[key]
    place[keys[-1]] = value
    return data
