# SPDX-License-Identifier: GPL-2.0-only
"""vmtest's fixtures for all tests of this directory."""

pytest_plugins = ["vmtest.pytest_plugin"]
