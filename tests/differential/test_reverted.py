# SPDX-License-Identifier: GPL-2.0-only
"""Fixes of the kernel that are taken back in a copy of the tree: random cases meet what they fixed."""

from __future__ import annotations

import re

import pytest

from damon.kernel.build import build
from damon.kernel.source import open_source
from tests.differential import fuzz
from tests.kernel.trees import changed

OVERFLOW = "\t\tif (UINT_MAX - wsum < wsum_to_add)\n\t\t\treturn false;\n"


@pytest.mark.parametrize(
    ("fixed", "before", "seen"),
    [
        ("\t\tcount_age = false;\n\t\tif (nr_regions", "\t\tif (nr_regions", "regions"),
        ("\t\tif (probe->weight > UINT_MAX / max_probe_hits)\n\t\t\treturn false;\n", "", "error: 22"),
    ],
    ids=["age counted twice", "overflow of a weighted sum"],
)
def test_found(fixed: str, before: str, seen: str) -> None:
    other_half = [(OVERFLOW, "")] if "weight" in fixed else []
    tree = changed((fixed, before), *other_half)
    *_, outcome = fuzz.played(build(open_source(str(tree))), 1000, 1, shrink=False)
    assert outcome.difference is not None
    assert re.search(f"{seen}|start", str(outcome.difference))
