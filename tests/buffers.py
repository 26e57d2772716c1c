# SPDX-License-Identifier: GPL-2.0-only
"""Addresses as a space takes them, and its answers, as lists."""

from __future__ import annotations

from collections.abc import Sequence

from damon.model.arrays import U8, U64, Batch, Buffer
from damon.model.machine import AccessBits


def addresses(values: Sequence[int]) -> Buffer:
    buffer = Buffer(U64, len(values))
    buffer.rows[: len(values)] = [*values]
    return buffer


def young(space: AccessBits, batch: Batch) -> list[int]:
    """What the space answers for each address of the batch."""
    out = Buffer(U8, batch.nr)
    space.young(batch, out)
    return [*out.rows[: batch.nr]]
