# SPDX-License-Identifier: GPL-2.0-only
"""Guests for this directory's tests carry the project's tree, where Python finds it."""

from __future__ import annotations

import os
from typing import Any

import pytest

from tests.vm import native, trees
from tests.vm.job import PROJECT
from vmtest import Guest, Tree
from vmtest.images.arch import Architecture

#: Two guests and whatever else runs here share the host's processors: the limits only guard against a hang.
os.environ.setdefault("VMTEST_PATIENCE", "8")


@pytest.fixture(scope="module")
def guest_trees(guest_arch: Architecture) -> tuple[Tree | tuple[str, str], ...]:
    return (*trees.project(), *native.trees(guest_arch))


@pytest.fixture(scope="module")
def guest_env() -> dict[str, str]:
    return {"PYTHONPATH": PROJECT}


@pytest.fixture(scope="module")
def shared_guest(_module_guest: Any) -> Guest:
    """One guest for all of a module, also where it goes on from a snapshot."""
    guest: Guest = _module_guest.guest()
    return guest
