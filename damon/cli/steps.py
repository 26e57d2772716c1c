# SPDX-License-Identifier: GPL-2.0-only
"""How a command lets a machine's time pass: by whole steps, of which a simulated machine takes several at a time."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final

from damon.core import Damon
from damon.mm.clock import VirtualClock
from damon.model.clock import Event
from damon.model.context import DamonCtx

STEP_US: Final = 100_000
#: Steps at a time at first, and at most, where nothing has to be shown in between.
MANY: Final = 50
MOST: Final = 1 << 12
#: Real seconds that several steps may take: Ctrl-C and the live view wait for their end. Of less than a tenth, twice as
#: many are taken the next time.
_PATIENCE_S: Final = 1.0


class Steps:
    """The beats of a run, on a grid of ``STEP_US`` from its start. What is read at a beat is the same, however many
    are taken at a time; when a worker ends, the next one is not passed over.

    Args:
        damon: whose workers run. Its clock is slept on, in this thread.
        total: seconds of the run, of which every tenth is shown; None: nothing is shown.
    """

    def __init__(self, damon: Damon, total: float | None = None) -> None:
        self._most = MOST if total is None else max(min(MANY, int(total * 1e5) // STEP_US), 1)
        self._damon, self._clock = damon, damon.machine.clock
        self._begin = self._clock.now_ns()
        self._virtual = isinstance(self._clock, VirtualClock)
        self._many = MANY
        self._ended: Event = self._clock.event()

    def _in_lockstep(self, ctxs: Sequence[DamonCtx]) -> bool:
        """Can a worker wake at every beat, so that the order of going to sleep matters?"""
        return any(ctx.attrs.intervals_goal.aggrs or ctx.attrs.sample_interval > STEP_US // 2 for ctx in ctxs)

    def sleep(self, left_us: int | None, ctxs: Sequence[DamonCtx], most: int = MOST) -> None:
        """To the next beat, or where nothing is shown up to ``most`` beats on.

        Not beyond ``left_us``, and before that at its last beat.
        """
        nr = 1
        if self._virtual:
            nr = max(min(most, self._most, self._many, MOST if left_us is None else (left_us - 1) // STEP_US), 1)
        us = nr * STEP_US if left_us is None else min(nr * STEP_US, left_us)
        began = time.monotonic()
        if not self._virtual:
            self._clock.sleep_us(us)
            return
        self._damon.ended = self._ended
        ended = False
        if nr > 1 and self._in_lockstep(ctxs):  # a worker that wakes at this beat has gone to sleep before
            ended = self._ended.wait(us - 1)
            us = 1
        if ended or self._ended.wait(us):
            self._ended = self._clock.event()
            self._clock.sleep_us(-(self._clock.now_ns() - self._begin) // 1000 % STEP_US)
        self._damon.ended = None
        took = time.monotonic() - began
        if took > _PATIENCE_S:
            self._many = max(self._many // 4, 1)
        elif took < _PATIENCE_S / 10:
            self._many = min(self._many * 2, MOST)
