# SPDX-License-Identifier: GPL-2.0-only
"""Guests for this folder's tests carry the project's tree, where Python finds it."""

from __future__ import annotations

import os

import pytest

from tests.vm import native, trees
from tests.vm.job import PROJECT
from vmtest import Tree
from vmtest.images.arch import Architecture

#: Two guests and whatever else runs here share the host's processors: the limits only guard against a hang.
os.environ.setdefault("VMTEST_PATIENCE", "8")


@pytest.fixture(scope="module")
def guest_trees(guest_arch: Architecture) -> tuple[Tree | tuple[str, str], ...]:
    return (*trees.project(), *native.trees(guest_arch))


@pytest.fixture(scope="module")
def guest_env() -> dict[str, str]:
    return {"PYTHONPATH": PROJECT}
