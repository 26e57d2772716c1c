# SPDX-License-Identifier: GPL-2.0-only
"""Swap devices. Twin of ``sim_swap.c``."""

from __future__ import annotations

from damon.mm.sim.layout import SimPage
from damon.mm.sim.state import State


def swap_take(s: State, p: SimPage) -> None:
    """A slot for a page; the caller knows that there is one.

    Devices are sorted by priority, the highest first; those of the same one take turns, as the kernel's list of them is
    requeued.
    """
    m = s.m
    devices = [m.swap[n] for n in range(m.nr_swap)]
    first = 0
    while first < len(devices):
        group = [device for device in devices if device.priority == devices[first].priority]
        for k in range(len(group)):
            n = (group[0].turn + k) % len(group)
            if group[n].used < group[n].pages:
                group[n].used += 1
                group[0].turn = (n + 1) % len(group)
                m.swap_used += 1
                p.swap = first + n
                return
        first += len(group)


def swap_free(s: State, p: SimPage) -> None:
    s.m.swap[p.swap].used -= 1
    s.m.swap_used -= 1
