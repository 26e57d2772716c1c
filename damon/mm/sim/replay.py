# SPDX-License-Identifier: GPL-2.0-only
"""Areas of trace files on a simulated machine: their native records, and when they come and go.

Their accesses are evaluated in C when they are asked for (``native/src/sim_trace.c``). Only mappings are events here.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator

from damon.mm.sim.arithmetic import exp
from damon.mm.sim.engine import Engine
from damon.mm.sim.layout import NEVER, SimPattern, SimSeg
from damon.mm.sim.state import PlacedArea, State
from damon.workload.tracefile.form import TRUTH, unpack_rows
from damon.workload.tracefile.mapping import changes

#: An area's turn: when, whether it is a new stage (after mappings), which area, whether it is mapped from then on.
_Turn = tuple[int, bool, int, bool]


class Replays:
    """The areas of ``state`` that replay traces.

    Args:
        state: the machine's.
        engine: acts on it.
    """

    def __init__(self, state: State, engine: Engine) -> None:
        self._state, self._engine = state, engine
        self._areas = {placed.id: placed for placed in state.placed.values() if placed.area.replay is not None}
        self._turns: list[_Turn] = []
        self._coming: dict[int, Iterator[tuple[int, bool]]] = {}
        self._stages: dict[int, int] = {}
        for number, placed in self._areas.items():
            assert placed.area.replay is not None
            self._coming[number] = changes(placed.area.replay, state.traced[placed.area.name])
            self._await(number)

    @property
    def next_ns(self) -> int:
        """When something changes; the end of time if nothing does."""
        return self._turns[0][0] if self._turns else NEVER

    def begin(self, placed: PlacedArea, t: int) -> None:
        """The area has been mapped at ``t``: it is accessed from now on."""
        if placed.id not in self._areas or not self._state.area.rows[placed.id].mapped:  # killed as it was populated
            return
        self._engine.area_access(placed.id, SimSeg(t0=t, pattern=SimPattern.TRACE))
        self._engine.event_purge()
        self._engine.event_area(placed.id, t)
        self._stage(placed.id, t)

    def pass_to(self, t: int, change: Callable[[str, bool, int], None]) -> None:
        """What changes up to ``t``; ``change`` maps (true) or unmaps an area at a time."""
        while self.next_ns <= t:
            at, is_stage, number, mapped = heapq.heappop(self._turns)
            row = self._state.area.rows[number]
            if is_stage:
                if row.mapped and self._stages.get(number) == at:
                    self._stage(number, at)
                continue
            change(self._areas[number].area.name, mapped, at)
            self._await(number)

    def _await(self, number: int) -> None:
        turn = next(self._coming[number], None)
        if turn is not None:
            heapq.heappush(self._turns, (turn[0], False, number, turn[1]))

    def _stage(self, number: int, t: int) -> None:
        """Rates of whole areas are only needed where touches have a cost."""
        if self._state.m.latency:
            following = self._engine.trace_stage(number, t)
            self._stages[number] = following
            if following != NEVER:
                heapq.heappush(self._turns, (following, True, number, True))

    def truth(self, placed: PlacedArea, interval_ns: int, now: int) -> float:
        """As ``SimulatedMachine.truth()``, in the window of the trace that is now."""
        replay, traced = placed.area.replay, self._state.traced[placed.area.name]
        assert replay is not None
        since = int(now / replay.time_scale)
        length = replay.end_ns - replay.begin_ns
        if since >= length and not replay.loop:
            return 0.0
        trace = self._state.traces[replay.path]
        window = trace.window_at(traced.space, replay.begin_ns + since % length)
        if window is None:
            return 0.0
        share = interval_ns / ((window.t1 - window.t0) * replay.time_scale)
        total, exact = 0.0, trace.description.origin == TRUTH
        for start, end, touches, _write in unpack_rows(trace.rows(window)):
            pages = min(end, traced.first + traced.nr_pages) - max(start, traced.first)
            if pages > 0:
                total += pages * (min(touches * share, 1.0) if exact else 1.0 - exp(-touches * share))
        return total / traced.nr_pages
