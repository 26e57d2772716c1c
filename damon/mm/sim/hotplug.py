# SPDX-License-Identifier: GPL-2.0-only
"""Memory of a simulated machine that comes and goes while it runs."""

from __future__ import annotations

from damon.mm.sim.engine import Engine
from damon.mm.sim.ram import Ram
from damon.model.machine import PAGE_SIZE


def online(ram: Ram, engine: Engine, nid: int, size: int) -> None:
    """Bring ``size`` bytes of a node online, the lowest first; as much as there is offline."""
    for number, piece in enumerate(ram.pieces):
        take = min(size, piece.limit - piece.end) if piece.nid == nid else 0
        if take:
            engine.online(number, take // PAGE_SIZE)
            piece.end += take
            size -= take
    ram.set_watermarks()


def offline(ram: Ram, engine: Engine, nid: int, size: int, now: int) -> bool:
    """Take ``size`` bytes of a node offline, the highest first: all or nothing."""
    own = [(n, piece) for n, piece in enumerate(ram.pieces) if piece.nid == nid and not piece.held]
    left, done = size, []
    if sum(piece.end - piece.start for _, piece in own) < size:
        return False
    for number, piece in reversed(own):
        take = min(left, piece.end - piece.start)
        if take and not engine.offline(number, take // PAGE_SIZE, now):
            break
        piece.end -= take
        left -= take
        done.append((number, piece, take))
    else:
        ram.set_watermarks()
        return True
    for number, piece, take in done:
        if take:
            engine.online(number, take // PAGE_SIZE)
            piece.end += take
    return False
