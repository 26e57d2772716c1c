# SPDX-License-Identifier: GPL-2.0-only
"""How fast this host's time stamp counter runs, for emulated guests that would have to measure it themselves.

QEMU's emulation hands the host's counter to the guest as it is. A guest's kernel measures it while it boots, against a
timer; where the host is busy and lets it stand still meanwhile, the result is anything (49 MHz where 2445 are right),
and its seconds run away. ``tsc_early_khz=`` gives the frequency instead.
"""

from __future__ import annotations

import ctypes
import mmap
import platform
import time

from ..images.arch import X86_64, Architecture
from . import capabilities

# rdtsc; shl rdx, 32; or rax, rdx; ret
_READ = bytes.fromhex("0f31 48c1e220 4809d0 c3")
_SECONDS = 0.05
_ROUNDS = 20
#: What is measured twice differs by less, and a snapshot that depends on it stays valid after a reboot of the host.
_STEP_KHZ = 100
_PLAUSIBLE_KHZ = range(100_000, 20_000_000)
FILE = "tsc.json"
COUNTED_KHZ = 1_000_000


def tsc_khz(arch: Architecture, accelerator: str, icount: int | None = None) -> int | None:
    """The counter's frequency for a guest's kernel, kHz; None when it has another counter, or none can be read.

    Measured once a host boot and kept in the cache directory. A guest that counts its instructions has a counter of ns.
    """
    if icount is not None and arch is X86_64:
        return COUNTED_KHZ
    if accelerator != "tcg" or arch is not X86_64 or platform.machine() != X86_64.machine:
        return None
    key = capabilities.boot_id()
    known = capabilities.recall(FILE, key)
    if known is None:
        known = {"khz": measure()}
        capabilities.keep(FILE, key, **known)
    khz = known.get("khz")
    return khz if isinstance(khz, int) else None


def measure(seconds: float = _SECONDS) -> int | None:
    """The counter against the clock over so many seconds, in kHz; None where no code may be brought along."""
    try:
        code = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    except OSError:
        return None
    code.write(_READ)
    read = ctypes.CFUNCTYPE(ctypes.c_uint64)(ctypes.addressof(ctypes.c_char.from_buffer(code)))

    def now() -> tuple[int, int]:
        """Nanoseconds and ticks of one moment: of several tries the one that was interrupted least."""
        tries = [(time.monotonic_ns(), read(), time.monotonic_ns()) for _ in range(_ROUNDS)]
        before, ticks, after = min(tries, key=lambda one: one[2] - one[0])
        return (before + after) // 2, ticks

    began, first = now()
    time.sleep(seconds)
    ended, last = now()
    khz = round((last - first) * 1_000_000 / (ended - began) / _STEP_KHZ) * _STEP_KHZ
    return khz if khz in _PLAUSIBLE_KHZ else None
