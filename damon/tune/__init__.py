# SPDX-License-Identifier: GPL-2.0-only
"""Searches over many runs: a study file names workloads, modules with values to try, objectives and constraints."""
