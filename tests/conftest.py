# SPDX-License-Identifier: GPL-2.0-only
"""Shared by all tests: hypothesis profiles, and the plugins."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("default", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("long", deadline=None, max_examples=2000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))

# The `guest` fixture (costs nothing until a test asks for it), pytest on pytest for its own tests, the table of
# features, what keeps a test process apart from the rest of the machine, and a mirror of Debian packages.
pytest_plugins = ["vmtest.pytest_plugin", "pytester", "tests.features", "tests.isolation", "tests.apt.repository"]

GUESTS = Path(__file__).parent / "vm"


@pytest.fixture
def pytester(pytester: pytest.Pytester) -> pytest.Pytester:
    """With a root of its own: a setup.py or pytest.ini that somebody has put into /tmp would be taken for it."""
    pytester.makeini("[pytest]")
    return pytester


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with guests come first: they take longest, and what is short fills the end of a run in parallel."""
    items.sort(key=lambda item: GUESTS not in item.path.parents)
