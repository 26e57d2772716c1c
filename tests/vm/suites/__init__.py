# SPDX-License-Identifier: GPL-2.0-only
"""Suites for ``vmtest run``: matrices over kernels and machines that are too long for CI.

``check`` is the test that runs in their guests; the YAML files beside it are suites and their workloads.
"""
