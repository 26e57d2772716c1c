# SPDX-License-Identifier: GPL-2.0-only
"""Bits of /proc/kpageflags (include/uapi/linux/kernel-page-flags.h, fs/proc/page.c) and of /proc/PID/pagemap."""

from __future__ import annotations

from typing import Final

KPF_UPTODATE: Final = 1 << 3
KPF_LRU: Final = 1 << 5
KPF_ACTIVE: Final = 1 << 6
KPF_SLAB: Final = 1 << 7
KPF_BUDDY: Final = 1 << 10
KPF_MMAP: Final = 1 << 11
KPF_ANON: Final = 1 << 12
KPF_SWAPCACHE: Final = 1 << 13
KPF_COMPOUND_HEAD: Final = 1 << 15
KPF_COMPOUND_TAIL: Final = 1 << 16
KPF_HUGE: Final = 1 << 17
KPF_UNEVICTABLE: Final = 1 << 18
KPF_NOPAGE: Final = 1 << 20
KPF_THP: Final = 1 << 22
KPF_OFFLINE: Final = 1 << 23
KPF_ZERO_PAGE: Final = 1 << 24
KPF_IDLE: Final = 1 << 25
KPF_RESERVED: Final = 1 << 32
#: A page with one of these is never sampled: no process's page that idle page tracking knows.
KPF_FOREIGN: Final = KPF_SLAB | KPF_HUGE | KPF_NOPAGE | KPF_OFFLINE | KPF_ZERO_PAGE | KPF_RESERVED

PM_EXCLUSIVE: Final = 1 << 56
PM_PRESENT: Final = 1 << 63
