# SPDX-License-Identifier: GPL-2.0-only
"""Plain Python twins of the simulator's C routines (``native/src/sim_*.c``), on the same memory, bit for bit.

One file here is one file there. Read these to understand the machine; a prototyper overrides them.
"""

from damon.mm.sim.reference.engine import ReferenceEngine

__all__ = ["ReferenceEngine"]
