# SPDX-License-Identifier: GPL-2.0-only
"""Programs that tests run inside of a guest; each prints one JSON object. Standard library and damon only."""
