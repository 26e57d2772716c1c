# SPDX-License-Identifier: GPL-2.0-only
"""Fuzzers of everything that reads foreign text: one table of targets, one mutator, one runner (``make fuzz``)."""
