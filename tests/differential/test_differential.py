# SPDX-License-Identifier: GPL-2.0-only
"""Random cases against the kernel's own C, a fixed number; ``python -m tests.differential`` runs more."""

from __future__ import annotations

from tests.differential import fuzz
from tests.kernel.trees import built

#: About a minute.
CASES = 400


def test_no_unexplained_difference() -> None:
    outcome = fuzz.run(built(), CASES, 0)
    assert outcome.difference is None, outcome.difference
    assert outcome.cases >= CASES // 2
