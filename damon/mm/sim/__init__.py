# SPDX-License-Identifier: GPL-2.0-only
"""A simulated machine in virtual time, driven by a workload: ``machine.py``; what it reports: ``report.py``.

Its state is native memory (``layout.py``, ``state.py``); the routines on it are C (``engine.py``). Nothing steps
through pages at ticks: accesses are drawn when they are asked for (``native/src/sim_access.c``).
"""

from damon.mm.sim.kills import Kill
from damon.mm.sim.machine import SimulatedMachine
from damon.mm.sim.report import AreaStat, ProcessStat

__all__ = ["AreaStat", "Kill", "ProcessStat", "SimulatedMachine"]
