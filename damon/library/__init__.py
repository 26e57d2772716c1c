# SPDX-License-Identifier: GPL-2.0-only
"""What a program that uses DAMON as a library needs beside the core: machines, running contexts, results one by one.

``import damon`` gives all of it, and the core's names, without loading anything before it is used.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

    from damon.library.contexts import add_memory, add_process, changes, open_machine, running
    from damon.library.engine import open_engine
    from damon.library.results import Aggregation, Region, aggregations

__all__ = [
    "Aggregation", "Region", "add_memory", "add_process", "aggregations", "changes", "open_engine", "open_machine",
    "running",
]  # fmt: skip

_PLACES: Final = {
    "contexts": "add_memory add_process changes open_machine running",
    "engine": "open_engine",
    "results": "Aggregation Region aggregations",
}
_NAMES: Final = {name: f"damon.library.{place}" for place, names in _PLACES.items() for name in names.split()}


def __getattr__(name: str) -> Any:
    place = _NAMES.get(name)
    if place is None:
        raise AttributeError(f"module 'damon.library' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(place), name)
