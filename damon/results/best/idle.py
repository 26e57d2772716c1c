# SPDX-License-Identifier: GPL-2.0-only
"""The idle times of a page that is touched at random, at a rate that changes.

The page is touched as a Poisson process whose rate is constant in each of a sequence of stretches, and once when the
sequence begins. Looked for is, for an idle time ``tau``: how many idle times that are longer end with a touch, and how
long all that are longer last together. The idle time before a touch at t is longer than tau if nothing touches the page
in (t - tau, t): probability exp(-c), c the integral of the rate over that time. It is longer by G(t - tau) then, where
G(v), the mean time at v since the last touch, follows dG/dv = 1 - rate G. As long as neither v = t - tau nor t enters
another stretch, the sums have a closed form (``_piece``), and are linear in the G with which the piece begins. So a
whole round of stretches is one linear map (``Step``), and many rounds are a power of it.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from functools import cached_property
from math import exp, expm1
from typing import Final

#: Seconds, and touches a second of one page.
Rate = tuple[float, float]
#: exp(-45) is as good as nothing.
_NEVER: Final = 45.0


@dataclass(frozen=True)
class Step:
    """Over some time, from a mean idle time G on: ``count`` idle times end, their sum is ``fixed + slope * G`` seconds,
    and the next G is ``rise + keep * G``."""

    count: float = 0.0
    fixed: float = 0.0
    slope: float = 0.0
    rise: float = 0.0
    keep: float = 1.0

    def then(self, other: Step) -> Step:
        return Step(
            self.count + other.count,
            self.fixed + other.fixed + other.slope * self.rise,
            self.slope + other.slope * self.keep,
            other.rise + other.keep * self.rise,
            self.keep * other.keep,
        )

    def repeated(self, times: int) -> Step:
        result, power = Step(), self
        while times:
            if times & 1:
                result = result.then(power)
            power, times = power.then(power), times >> 1
        return result


def _mean(low: float, high: float) -> float:
    """The mean of exp(-c) for c from ``low`` to ``high``."""
    if low > high:
        low, high = high, low
    span = high - low
    return exp(-low) * (-expm1(-span) / span if span > 1e-12 else 1.0)


def _ramp(rate: float, seconds: float) -> float:
    """The integral of x exp(-rate x) for x up to ``seconds``."""
    q = rate * seconds
    if q < 1e-2:
        return seconds * seconds * (0.5 - q * (1 / 3 - q * (1 / 8 - q / 30)))
    return (1.0 - (1.0 + q) * exp(-q)) / (rate * rate)


def _age(before: float, rate: float, seconds: float) -> float:
    """The mean idle time after ``seconds``."""
    if rate <= 0.0:
        return before + seconds
    gone = -expm1(-rate * seconds)
    return before * (1.0 - gone) + gone / rate


def _piece(tau: float, seconds: float, at_v: float, at_t: float, c: float) -> Step:
    """While the rate is ``at_v`` tau before, and ``at_t`` now; ``c`` as it is at the beginning."""
    keep = exp(-at_v * seconds)
    rise = _age(0.0, at_v, seconds)
    end = c + (at_t - at_v) * seconds
    if at_t <= 0.0 or (c > _NEVER and end > _NEVER):
        return Step(0.0, 0.0, 0.0, rise, keep)
    all_ended = seconds * _mean(c, end)
    slope = -exp(-c) * expm1(-at_t * seconds)
    if at_v * seconds > 1e-6:
        longer = (at_t * all_ended - slope) / at_v
    else:  # G grows as time passes
        longer = at_t * exp(-c) * _ramp(at_t, seconds)
    return Step(at_t * all_ended, tau * at_t * all_ended + longer, slope, rise, keep)


@dataclass(frozen=True)
class Rates:
    """The rates of a page: ``head``, ``times`` rounds of ``cycle``, ``tail``.

    ``touched_first``: it is touched as they begin; else it is not in memory before its first touch. ``touched_last``:
    it is touched as they end; else an idle time up to there ends without a refault.
    """

    head: tuple[Rate, ...]
    cycle: tuple[Rate, ...] = ()
    times: int = 0
    tail: tuple[Rate, ...] = ()
    touched_first: bool = True
    touched_last: bool = False

    def _at(self, number: int) -> Rate:
        """Stretch ``number`` of all; the last one goes on."""
        heads, rounds = len(self.head), len(self.cycle) * self.times
        if number < heads:
            return self.head[number]
        if number < heads + rounds or (not self.tail and rounds):
            return self.cycle[(number - heads) % len(self.cycle)]
        return self.tail[min(number - heads - rounds, len(self.tail) - 1)] if self.tail else self.head[-1]

    @cached_property
    def seconds(self) -> float:
        return _length(self.head) + _length(self.cycle) * self.times + _length(self.tail)

    @cached_property
    def _last_idle(self) -> float:
        """The mean idle time at the end."""
        return _aged(self.head).then(_aged(self.cycle).repeated(self.times)).then(_aged(self.tail)).rise

    def longer_than(self, tau: float) -> tuple[float, float]:
        """How many idle times longer than ``tau`` seconds end with a touch, and the seconds of all that are longer."""
        count = seconds = 0.0
        if not tau:
            parts = (_touches(self.head), _touches(self.cycle) * self.times, _touches(self.tail))
            count, seconds = sum(parts) + self.touched_last, self.seconds
        elif tau < self.seconds:
            count, seconds, age, c = self._walk(tau) if self.times else self._sums(tau)
            if self.touched_last:
                count += exp(-c)
                seconds += exp(-c) * (tau + age)
        if tau and not self.touched_last:
            seconds += self._last_idle
        if not self.touched_first:
            absent = self._before_first(tau)
            count, seconds = count - absent[0], seconds - absent[1]
        return max(count, 0.0), max(seconds, 0.0)

    def _find(self, seconds: float) -> tuple[int, float, float]:
        """The stretch at that time, what is left of it, and the integral of the rate up to there."""
        number, integral, left = 0, 0.0, seconds
        length, touches = _length(self.cycle), _touches(self.cycle)
        last = len(self.head) + len(self.cycle) * self.times + len(self.tail) - 1
        while True:
            if number == len(self.head) and self.times and left >= length:
                rounds = min(int(left / length), self.times)
                left, integral = left - rounds * length, integral + rounds * touches
                number += rounds * len(self.cycle)
            duration, rate = self._at(number)
            if left < duration or number == last:
                return number, duration - left, integral + rate * left
            left, integral, number = left - duration, integral + rate * duration, number + 1

    def _walk(self, tau: float) -> tuple[float, float, float, float]:
        """Up to the end: count and seconds; the mean idle time at ``tau`` before it, and the integral of the rate from
        there."""
        walk, left = _Walk(self, tau), self.seconds - tau
        before, one_round = _length(self.head), _length(self.cycle)
        rounds = int(max(self.times * one_round - tau, 0.0) / one_round)
        step = walk.on(before if rounds else left)
        if rounds:
            step = step.then(walk.on(one_round).repeated(rounds))
            walk.skip((rounds - 1) * len(self.cycle))
            step = step.then(walk.on(left - before - rounds * one_round))
        return step.count, step.fixed, step.rise, walk.c

    @cached_property
    def _table(self) -> tuple[list[float], list[float], list[float], list[float]]:
        """The begin, rate, integral of the rates before, and mean idle time of each stretch; and of the end."""
        stretches = [*self.head, *self.cycle * self.times, *self.tail]
        begins, integrals, ages = [0.0], [0.0], [0.0]
        for duration, rate in stretches:
            begins.append(begins[-1] + duration)
            integrals.append(integrals[-1] + duration * rate)
            ages.append(_age(ages[-1], rate, duration))
        return begins, [rate for _, rate in stretches], integrals, ages

    def _sums(self, tau: float) -> tuple[float, float, float, float]:
        """As ``_walk``, stretch by stretch: count, seconds, the mean idle time ``tau`` before the end, and c there."""
        begins, rates, integrals, ages = self._table
        count = seconds = v = 0.0
        i, j = 0, min(bisect_right(begins, tau), len(rates)) - 1
        c = integrals[j] + rates[j] * (tau - begins[j])
        while j < len(rates):
            at_v, at_t = rates[i], rates[j]
            by_v, by_t = begins[i + 1], begins[j + 1] - tau
            part = (by_v if by_v < by_t else by_t) - v
            end = c + (at_t - at_v) * part
            end = max(end, 0.0)
            if at_t > 0.0 and part > 0.0 and (c < _NEVER or end < _NEVER):
                ended = at_t * part * _mean(c, end)
                slope = -exp(-c) * expm1(-at_t * part)
                longer = (ended - slope) / at_v if at_v * part > 1e-6 else at_t * exp(-c) * _ramp(at_t, part)
                count += ended
                seconds += tau * ended + longer + slope * _age(ages[i], at_v, v - begins[i])
            v, c = v + part, end
            i, j = i + (by_v <= by_t), j + (by_t <= by_v)
        return count, seconds, _age(ages[i], rates[i], v - begins[i]) if i < len(rates) else ages[-1], c

    @cached_property
    def _untouched_after(self) -> list[float]:
        """The mean time without a touch since the beginning, from each stretch on."""
        begins, rates, integrals, _ = self._table
        after = [0.0]
        for at in range(len(rates) - 1, -1, -1):
            after.append(after[-1] + (begins[at + 1] - begins[at]) * _mean(integrals[at], integrals[at + 1]))
        return after[::-1]

    def _before_first(self, tau: float) -> tuple[float, float]:
        """As ``longer_than``, of the time before the first touch."""
        begins, rates, integrals, _ = self._table
        never = exp(-integrals[-1])
        if tau >= self.seconds:
            return 0.0, 0.0 if self.touched_last else self.seconds * never
        at = min(bisect_right(begins, tau), len(rates)) - 1
        integral = integrals[at] + rates[at] * (tau - begins[at])
        untouched = (begins[at + 1] - tau) * _mean(integral, integrals[at + 1]) + self._untouched_after[at + 1]
        return exp(-integral) - (0.0 if self.touched_last else never), tau * exp(-integral) + untouched


class _Walk:
    """Two places in a page's time, ``tau`` apart, that go on together."""

    def __init__(self, rates: Rates, tau: float) -> None:
        self._rates, self._tau = rates, tau
        self._at = rates._at
        self._v, self._v_left = 0, self._at(0)[0]
        self._t, self._t_left, self.c = rates._find(tau)  #: c: the integral of the rate between both

    def skip(self, stretches: int) -> None:
        """Go on by rounds that change nothing."""
        self._v, self._t = self._v + stretches, self._t + stretches

    def on(self, seconds: float) -> Step:
        """Go on by ``seconds``."""
        count, fixed, slope, rise, keep = 0.0, 0.0, 0.0, 0.0, 1.0
        while seconds > 1e-12:
            at_v, at_t = self._at(self._v)[1], self._at(self._t)[1]
            part = min(self._v_left, self._t_left, seconds)
            if part > 0.0:
                one = _piece(self._tau, part, at_v, at_t, self.c)
                count += one.count
                fixed += one.fixed + one.slope * rise
                slope += one.slope * keep
                rise, keep = one.rise + one.keep * rise, one.keep * keep
            self.c = max(self.c + (at_t - at_v) * part, 0.0)
            seconds -= part
            self._v_left -= part
            self._t_left -= part
            if seconds <= 1e-12:
                break
            if self._v_left <= 0.0:
                self._v += 1
                self._v_left = self._at(self._v)[0]
            if self._t_left <= 0.0:
                self._t += 1
                self._t_left = self._at(self._t)[0]
        return Step(count, fixed, slope, rise, keep)


def _length(stretches: tuple[Rate, ...]) -> float:
    return sum(duration for duration, _ in stretches)


def _touches(stretches: tuple[Rate, ...]) -> float:
    return sum(duration * rate for duration, rate in stretches)


def _aged(stretches: tuple[Rate, ...]) -> Step:
    """What some stretches do to the mean idle time."""
    result = Step()
    for duration, rate in stretches:
        result = result.then(Step(rise=_age(0.0, rate, duration), keep=exp(-rate * duration)))
    return result
