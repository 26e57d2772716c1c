# SPDX-License-Identifier: GPL-2.0-only
"""Shared by all rooms' tests: hypothesis profiles."""

import os

from hypothesis import HealthCheck, settings

settings.register_profile("default", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("long", deadline=None, max_examples=2000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))

# The `guest` fixture (costs nothing until a test asks for it), pytest on pytest for its own tests, and
# the table of features.
pytest_plugins = ["vmtest.pytest_plugin", "pytester", "tests.features"]
