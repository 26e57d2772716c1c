# SPDX-License-Identifier: GPL-2.0-only
"""Monitoring and DAMOS, independent of address spaces: what ``mm/damon/core.c`` is in the kernel.

``damon.py`` is the entrance (contexts, start, stop, requests); ``kdamond.py`` is the worker's loop, in the order of the
kernel's; regions, attributes, probes, schemes, quotas, watermarks, commits have a file each.
"""

from damon.core.attrs import set_attrs
from damon.core.commit import commit_ctx, commit_quota_goals, commit_scheme_goals
from damon.core.damon import Damon
from damon.core.system_ram import system_ram_region
from damon.model.regions import set_regions

__all__ = [
    "Damon",
    "commit_ctx",
    "commit_quota_goals",
    "commit_scheme_goals",
    "set_attrs",
    "set_regions",
    "system_ram_region",
]
