# SPDX-License-Identifier: GPL-2.0-only
"""The table of mutations fits the core's text; ``python -m tests.differential.mutations`` plays them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.differential.mutants import MUTATIONS, Mutation
from tests.differential.mutations import ROOT, apply, copy_tree


def test_enough_of_them() -> None:
    assert len({mutation.name for mutation in MUTATIONS}) == len(MUTATIONS) >= 20


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_its_text_is_there_once(mutation: Mutation) -> None:
    for file, old, new in mutation.changes:
        assert (ROOT / file).read_text().count(old) == 1
        assert old != new


def test_a_copy_is_changed_and_the_tree_is_not(tmp_path: Path) -> None:
    copy_tree(tmp_path)
    mutation = MUTATIONS[0]
    ((file, _, new),) = mutation.changes
    apply(mutation, tmp_path)
    assert new in (tmp_path / file).read_text()
    assert new not in (ROOT / file).read_text()
    with pytest.raises(ValueError, match="bring it up to date"):
        apply(mutation, tmp_path)
