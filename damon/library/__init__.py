# SPDX-License-Identifier: GPL-2.0-only
"""What a program that uses DAMON as a library wants beside the core: machines, running contexts, results one by one.

``import damon`` gives all of it, and the core's names, without loading anything before it is used.
"""

from damon.library.commit import changes
from damon.library.engine import open_engine
from damon.library.results import Aggregation, Region, aggregations
from damon.library.run import open_machine, running
from damon.library.targets import add_memory, add_process

__all__ = [
    "Aggregation", "Region", "add_memory", "add_process", "aggregations", "changes", "open_engine", "open_machine",
    "running",
]  # fmt: skip
