# SPDX-License-Identifier: GPL-2.0-only
"""Benchmarks: ratios measured side by side in one run, outside of the test gate. ``make bench`` runs all."""
