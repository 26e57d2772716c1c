# SPDX-License-Identifier: GPL-2.0-only
"""What happens on a simulated machine as time passes: phases, mappings, processes, memory that comes and goes."""

from __future__ import annotations

from typing import Final

from damon.mm.sim import hotplug
from damon.mm.sim.engine import Engine
from damon.mm.sim.kills import Kill, Kills
from damon.mm.sim.layout import NEVER
from damon.mm.sim.phases import segment
from damon.mm.sim.replay import Replays
from damon.mm.sim.state import State
from damon.model.machine import Placeholder, Show
from damon.workload.model import Access, Event, Hotplug, Phase, Workload

FIRST_PID: Final = 1000


class Play:
    """Performs ``workload`` on a machine, from time 0 on.

    Args:
        workload: what is performed.
        state: the machine's. Nothing is mapped yet.
        engine: acts on it.

    Attributes:
        pids: of processes by name; 0: not yet started.
        offline_failures: times that memory should have gone offline and could not.
        replays: the areas of traces.
    """

    def __init__(self, workload: Workload, state: State, engine: Engine) -> None:
        self._workload, self._state, self._engine = workload, state, engine
        self.pids: dict[str, int] = dict.fromkeys(workload.processes, 0)
        self.offline_failures = 0
        self.replays = Replays(state, engine)
        self._next_pid = FIRST_PID
        self._show: Show | None = None
        self._placeholders: dict[str, Placeholder] = {}
        self._kills = Kills(state, self.pids)
        self._accesses: dict[str, Access | None] = {}
        for name in workload.processes:
            if not workload.process_spec(name).late:
                self._start(name)
        for area in workload.areas:
            if area.mapped_at_start:
                self.map(area.name, 0)
        self._phase = self._phase_end = 0
        self._start_phase(0)

    @property
    def phase(self) -> Phase:
        """The phase that is running."""
        return self._workload.phases[self._phase]

    @property
    def change_ns(self) -> int:
        """When the next phase begins, or a mapping of a trace changes."""
        return min(self._phase_end, self.replays.next_ns)

    def advance(self, now: int) -> None:
        """Time has come to ``now``, ns."""
        change = self.change_ns
        while change <= now:
            self._engine.advance(change)
            if self._phase_end == change:
                self._phase = (self._phase + 1) % len(self._workload.phases)
                self._start_phase(change)
            self.replays.pass_to(change, self._replay)
            change = self.change_ns
        self._engine.advance(now)
        self.note_kills()

    # -- processes

    def show_processes(self, show: Show) -> None:
        """From now on a process of the running system stands for each one here, and lends it its number."""
        self._show = show
        for index, name in enumerate(self._state.processes):
            if self._state.process.rows[index].alive:
                self._number(name)

    def kills(self) -> list[Kill]:
        """The processes that were killed for want of memory so far, the first at first."""
        self.note_kills()
        return self._kills.in_order()

    def note_kills(self) -> None:
        """Processes that were killed are gone."""
        if self._state.m.oom_kill != len(self._kills):
            for kill in self._kills.note():
                self._gone(kill.name)

    def exit(self, process: str, t: int) -> None:
        """A process ends at ``t``, and all of it is unmapped."""
        self._state.process.rows[self._state.processes.index(process)].alive = 0
        self._gone(process)
        for name, placed in self._state.placed.items():
            if placed.area.process == process:
                self.unmap(name, t)

    def close(self) -> None:
        """No process of the running system stands for one here any more."""
        for name in list(self._placeholders):
            self._placeholders.pop(name).close()

    def _start(self, name: str) -> None:
        self.note_kills()
        self._state.process.rows[self._state.processes.index(name)].alive = 1
        self._number(name)

    def _number(self, name: str) -> None:
        if self._show is not None:
            placeholder = self._placeholders[name] = self._show(name)
            self.pids[name] = placeholder.pid
            return
        self.pids[name] = self._next_pid
        self._next_pid += 1

    def _gone(self, process: str) -> None:
        """The process of the running system that stood for this one goes, too."""
        placeholder = self._placeholders.pop(process, None)
        if placeholder is not None:
            placeholder.close()

    # -- mappings

    def map(self, area: str, t: int) -> None:
        """An area is mapped at ``t``, and populated if it is to be. Of a process that has exited another one starts."""
        placed, row = self._state.placed[area], self._state.row(area)
        if row.mapped:
            return
        if not self._state.process.rows[row.process].alive:
            if placed.area.replay is not None:  # it was killed
                return
            self._start(placed.area.process)
        self._engine.area_map(placed.id, placed.area.populate, t)
        self._accesses[area] = None
        self.replays.begin(placed, t)

    def unmap(self, area: str, t: int) -> None:
        """An area is unmapped at ``t``."""
        self._engine.area_clear(self._state.placed[area].id, t)
        self._accesses[area] = None

    def _replay(self, area: str, mapped: bool, t: int) -> None:
        (self.map if mapped else self.unmap)(area, t)

    # -- phases

    def _start_phase(self, t: int) -> None:
        phase = self.phase
        last = self._phase == len(self._workload.phases) - 1 and not self._workload.repeat
        self._phase_end = NEVER if last else t + phase.duration_us * 1000
        plugs = list(phase.hotplug)
        for event in phase.events:
            if event.event is Event.MMAP:
                self._hotplug(plugs, t)
                self.map(event.name, t)
            elif event.event is Event.MUNMAP:
                self.unmap(event.name, t)
            else:
                self.exit(event.name, t)
        self._hotplug(plugs, t)
        wanted = {access.area: access for access in phase.accesses}
        changed = []
        for name, placed in self._state.placed.items():
            access = wanted.get(name)
            if placed.area.replay is None and self._state.row(name).mapped and access != self._accesses.get(name):
                self._engine.area_access(placed.id, segment(access, placed.area.size, t))
                self._accesses[name] = access
                changed.append(placed.id)
        if changed:
            self._engine.event_purge()
        for area in changed:
            self._engine.event_area(area, t)

    def _hotplug(self, plugs: list[Hotplug], t: int) -> None:
        """Memory comes, or goes if what it holds can be moved away: all of ``plugs``, and they are done with."""
        for plug in plugs:
            if plug.online:
                hotplug.online(self._state.ram, self._engine, plug.node, plug.size)
            elif not hotplug.offline(self._state.ram, self._engine, plug.node, plug.size, t):
                self.offline_failures += 1
        plugs.clear()
