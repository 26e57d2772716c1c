# SPDX-License-Identifier: GPL-2.0-only
"""Guests for this folder's tests carry the project's tree, where Python finds it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.vm.job import PROJECT

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def guest_trees() -> tuple[tuple[str, str], ...]:
    return ((str(ROOT), PROJECT),)


@pytest.fixture(scope="module")
def guest_env() -> dict[str, str]:
    return {"PYTHONPATH": PROJECT}
