# SPDX-License-Identifier: GPL-2.0-only
"""Arithmetic that gives the same bits everywhere: only + - * / on doubles. ``sim_math.h`` has the same for C."""

from __future__ import annotations

from math import frexp, ldexp
from typing import Final

LN2_HI: Final = 6.93147180369123816490e-01
LN2_LO: Final = 1.90821492927058770002e-10


def log(x: float) -> float:
    """Natural logarithm of a positive normal number: exponent, and the series of artanh."""
    m, e = frexp(x)
    if m < 0.70710678118654752:
        m = m * 2.0
        e -= 1
    f = (m - 1.0) / (m + 1.0)
    s = f * f
    p = 1.0 / 21.0
    for k in (19.0, 17.0, 15.0, 13.0, 11.0, 9.0, 7.0, 5.0, 3.0):
        p = p * s + 1.0 / k
    p = p * s + 1.0
    return e * LN2_HI + (2.0 * f * p + e * LN2_LO)


def exp(x: float) -> float:
    """e^x for x <= 0; 0 below -700."""
    if x < -700.0:
        return 0.0
    n = int(x * 1.44269504088896340736 - 0.5)
    r = x - n * LN2_HI - n * LN2_LO
    p = 1.0
    for k in range(14, 0, -1):
        p = p * r / k + 1.0
    return ldexp(p, n)


def power_sum(n: int, skew: float) -> float:
    """The sum of r ** -skew for r = 1..n: term by term, then by Euler and Maclaurin."""
    first = min(n, 1024)
    total = sum(exp(-skew * log(float(r))) for r in range(1, first))
    a, b = float(first), float(n)
    fa = exp(-skew * log(a))
    if n == first:
        return total + fa
    fb, span = exp(-skew * log(b)), log(b / a)
    x = (1.0 - skew) * span
    if -1e-5 < x < 1e-5:
        integral = a * fa * span * (1.0 + x / 2.0 + x * x / 6.0)
    elif x > 0:
        integral = b * fb * (1.0 - exp(-x)) / (1.0 - skew)
    else:
        integral = a * fa * (1.0 - exp(x)) / (skew - 1.0)
    return total + integral + (fa + fb) / 2.0 + skew * (fa / a - fb / b) / 12.0
