# SPDX-License-Identifier: GPL-2.0-only
"""Monitoring and DAMOS, independent of address spaces: what ``mm/damon/core.c`` is in the kernel.

``damon.py`` is the entrance (contexts, start, stop, requests); ``kdamond.py`` is the worker's loop, in the order of the
kernel's; regions, attributes, probes, schemes, quotas, watermarks, commits have a file each.
"""

from __future__ import annotations

# A command that needs a name of the events does not wait for the worker's loop: what is below comes when it is used.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from damon.core.attrs import set_attrs
    from damon.core.commit import commit_ctx, commit_quota_goals, commit_scheme_goals
    from damon.core.damon import Damon
    from damon.model.regions import set_regions, system_ram_region

_PLACES: Final = {
    "Damon": "damon.core.damon",
    "commit_ctx": "damon.core.commit",
    "commit_quota_goals": "damon.core.commit",
    "commit_scheme_goals": "damon.core.commit",
    "set_attrs": "damon.core.attrs",
    "set_regions": "damon.model.regions",
    "system_ram_region": "damon.model.regions",
}

__all__ = [
    "Damon",
    "commit_ctx",
    "commit_quota_goals",
    "commit_scheme_goals",
    "set_attrs",
    "set_regions",
    "system_ram_region",
]


def __getattr__(name: str) -> object:
    place = _PLACES.get(name)
    if place is None:
        raise AttributeError(f"module 'damon.core' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(place), name)
