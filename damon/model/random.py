# SPDX-License-Identifier: GPL-2.0-only
"""The seeded generator (SplitMix64) that C routines and their Python twins share: one 64-bit state, same numbers.

The kernel's per-context generator (7.x) has another sequence; only uniformity over ``[l, r)`` matters (core 5.5).
"""

from __future__ import annotations

import ctypes
from typing import Final

_MASK: Final = (1 << 64) - 1
GAMMA: Final = 0x9E3779B97F4A7C15


def mix64(value: int) -> int:
    """SplitMix64's finalizer: a 64-bit hash of ``value``."""
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & _MASK
    return value ^ (value >> 31)


class Random:
    """``pointer`` is what C routines take; they advance the same state."""

    __slots__ = ("_state", "pointer")

    def __init__(self, seed: int) -> None:
        self._state = ctypes.c_uint64(seed & _MASK)
        self.pointer = ctypes.addressof(self._state)

    @property
    def state(self) -> int:
        return self._state.value

    @state.setter
    def state(self, value: int) -> None:
        self._state.value = value

    def next(self) -> int:
        """The next 64 bits."""
        state = (self._state.value + GAMMA) & _MASK
        self._state.value = state
        return mix64(state)

    def rand(self, left: int, right: int) -> int:
        """A uniform integer of ``[left, right)``, spans up to 64 bits."""
        return left + (self.next() * (right - left) >> 64)
