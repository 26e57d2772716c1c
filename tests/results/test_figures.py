# SPDX-License-Identifier: GPL-2.0-only
"""Figures as tables show them."""

from __future__ import annotations

import pytest

from damon.results.figures import Figure


@pytest.mark.parametrize(
    ("unit", "value", "spread", "shown"),
    [
        ("", 1.00671, 0.00017934, "1.0067±0.0002"),
        ("", 1.0, 3.547e-06, "1±0"),
        ("", 0.0, 0.25, "0±0.25"),
        ("", 12345.6, 77.4, "12346±77"),
        ("", 1234567.0, 4.0, "1.2346e+06±0"),
        ("", -0.001234567, 0.00000051, "-0.0012346±5e-07"),
        ("", 2.5, None, "2.5"),
        ("bytes", 83.16 * (1 << 20), 2.14 * (1 << 20), "83.2±2.1 MiB"),
        ("share", 0.0009, 0.00005, "0.090±0.005%"),
    ],
)
def test_a_spread_is_as_exact_as_its_value(unit: str, value: float, spread: float | None, shown: str) -> None:
    assert Figure("x", unit, "", lambda counts: None).short(value, spread) == shown
