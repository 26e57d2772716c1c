# SPDX-License-Identifier: GPL-2.0-only
"""Enums that a debugger's script reads as numbers are in the kernel's order."""

from __future__ import annotations

import re

import pytest

from damon.core.level import of_level
from damon.damond.structures import ENUMS, OPS
from damon.model.level import Level
from tests.kernel.trees import source


def _members(header: str, name: str) -> list[str]:
    body = re.search(rf"enum {name} {{(.*?)}};", header, re.DOTALL)
    assert body is not None, name
    text = re.sub(r"/\*.*?\*/", "", body[1], flags=re.DOTALL)
    return [word.strip() for word in text.split(",") if word.strip()]


@pytest.fixture(scope="module")
def header() -> str:
    return (source().path / "include/linux/damon.h").read_text()


@pytest.mark.parametrize("name", ENUMS)
def test_members_are_in_the_kernels_order(header: str, name: str) -> None:
    theirs = [word for word in _members(header, name) if not word.startswith("NR_")]
    ours = [member.name for member in of_level(Level.V7_3, ENUMS[name])]
    assert len(theirs) == len(ours), theirs
    assert all(their.endswith(our) for their, our in zip(theirs, ours, strict=True)), (theirs, ours)


def test_operations_sets_are_in_the_kernels_order(header: str) -> None:
    assert [word.removeprefix("DAMON_OPS_").lower() for word in _members(header, "damon_ops_id")][:3] == list(OPS)
