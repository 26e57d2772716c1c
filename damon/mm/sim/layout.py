# SPDX-License-Identifier: GPL-2.0-only
"""The records of a simulated machine, shared with C: ``native/src/sim_state.h`` explains each of them."""

from __future__ import annotations

import ctypes
import enum
from ctypes import c_double, c_int64, c_uint8, c_uint16, c_uint32, c_uint64, c_void_p
from typing import Final

from damon.native.layout import shared
from damon.workload.tracefile.form import MAX_LEVELS

NEVER: Final = 2**63 - 1
BLOCK_SHIFT: Final = 9
BLOCK: Final = 1 << BLOCK_SHIFT
LEAF: Final = 1
PAGE_BITS: Final = 40
PAGE_MASK: Final = (1 << PAGE_BITS) - 1
KSWAPD: Final = 2**32 - 1
MAX_RES: Final = 64
MAX_NODE: Final = 8
MAX_SWAP: Final = 8
KHUGEPAGED: Final = MAX_NODE
MAX_SEG: Final = 1 << 20
CLUSTER: Final = 32
PRIORITY: Final = 12
SWAPPINESS: Final = 60
FAILURES: Final = 16
UNEVICTABLE: Final = 4
NR_LIST: Final = 5
#: Orders of free blocks: 1 to 1024 frames.
NR_ORDER: Final = 11
NO_LIMIT: Final = 2**64 - 1
#: Numbers of cgroups that a page can record.
MAX_MEMCG: Final = 2**16 - 1
#: Counts of a cgroup, as in ``memory.events``.
MEMORY_EVENTS: Final = ("low", "high", "max", "oom", "oom_kill")
INACTIVE, ACTIVE = 0, 1
ANON, FILE = 0, 1

PG_PRESENT, PG_IDLE, PG_ACTIVE, PG_REFERENCED, PG_DIRTY, PG_SWAPPED, PG_EVICTED, PG_HUGE = (1 << n for n in range(8))
ST_PRISTINE, ST_IDLE, ST_VALID, ST_TAIL = range(4)


class SimPattern(enum.IntEnum):
    NONE = 0
    STRIDED = 1
    RANDOM = 2
    ZIPF = 3
    TRACE = 4


class Thp(enum.IntEnum):
    """``/sys/kernel/mm/transparent_hugepage/enabled``."""

    NEVER = 0
    MADVISE = 1
    ALWAYS = 2


class ThpAdvice(enum.IntEnum):
    """What was advised of a block of an area."""

    NOTHING = 0
    HUGE = 1
    NOHUGE = 2
    PARTLY = 3  #: different things of parts of it: no folio fits


class Draw(enum.IntEnum):
    """``enum sim_purpose``: what a random number is for."""

    TOUCH = 0
    WRITE = 1
    NEXT = 2
    WHICH = 3
    ACCEPT = 4
    FAULT = 5


@shared("sim_page")
class SimPage(ctypes.Structure):
    _fields_ = (
        *((name, c_int64) for name in ("t_eval", "t_last", "t_old", "t_ref")),
        *((name, c_uint64) for name in ("seq", "shadow")),
        *((name, c_uint32) for name in ("frame", "covered", "flags")),
        *((name, c_uint16) for name in ("swap", "evictor")),
    )


@shared("sim_seg")
class SimSeg(ctypes.Structure):
    _fields_ = (
        ("t0", c_int64),
        *((name, c_double) for name in ("rate", "share", "skew", "write")),
        *((name, c_uint64) for name in ("stride", "period", "base")),
        ("owed", c_double),
        *((name, c_uint32) for name in ("pattern", "pad")),
    )


@shared("sim_ext")
class SimExt(ctypes.Structure):
    _fields_ = tuple((name, c_uint64) for name in ("page", "nr", "frame"))


@shared("sim_trace")
class SimTrace(ctypes.Structure):
    _fields_ = (
        ("data", c_void_p),
        *((name, c_uint64 * MAX_LEVELS) for name in ("table", "nr")),
        *((name, c_uint64) for name in ("first", "nr_pages")),
        *((name, c_int64) for name in ("origin", "begin", "length")),
        *((name, c_double) for name in ("time_scale", "size_scale")),
        *((name, c_uint32) for name in ("nr_levels", "loop", "exact", "pad")),
    )


@shared("sim_area")
class SimArea(ctypes.Structure):
    _fields_ = (
        ("page", ctypes.POINTER(SimPage)),
        ("st", ctypes.POINTER(c_uint8)),
        ("seg", ctypes.POINTER(SimSeg)),
        ("ext", ctypes.POINTER(SimExt)),
        ("thp", ctypes.POINTER(c_uint8)),
        ("trace", ctypes.POINTER(SimTrace)),
        ("wanted", ctypes.POINTER(c_uint64)),
        *((name, c_uint64) for name in ("more_looks", "start", "nr_pages")),
        *((name, c_uint32) for name in ("process", "kind", "memcg", "locked", "mapped", "epoch", "nr_seg", "nr_ext")),
        ("t_mapped", c_int64),
        *((name, c_uint64) for name in ("nr_bulk", "nr_bulk_idle")),
        *((name, c_uint64) for name in ("nr_present", "nr_swapped", "nr_active", "nr_huge")),
        *((name, c_uint64) for name in ("faults", "refaults", "reclaimed", "touches")),
        *((name, c_uint64 * MAX_NODE) for name in ("bulk_seq", "node_present", "node_active")),
        ("latency_t", c_int64),
        *((name, c_double) for name in ("latency_ns", "touch_ns")),
        ("node_rate", c_double * MAX_NODE),
        ("nr_evicted", c_uint64),
        ("residence_t", c_int64),
        *((name, c_double) for name in ("present_ns", "evicted_ns")),
    )


@shared("sim_process")
class SimProc(ctypes.Structure):
    _fields_ = (
        ("busy_until", c_int64),
        *((name, c_uint64) for name in ("stall_ns", "faults", "refaults", "nr_present", "nr_swapped")),
        *((name, c_uint32) for name in ("first_area", "nr_area", "alive", "node")),
        ("killed", c_uint64),
        ("killed_t", c_int64),
        *((name, c_uint64) for name in ("killed_present", "killed_swapped", "killed_free", "killed_swap")),
        ("killed_memcg", c_uint64),
    )


@shared("sim_space")
class SimSpace(ctypes.Structure):
    _fields_ = (("m", c_void_p), ("process", c_uint64))


@shared("sim_run")
class SimRun(ctypes.Structure):
    _fields_ = (
        *((name, c_uint64) for name in ("page", "nr", "seq")),
        *((name, c_uint32) for name in ("area", "pad")),
    )


@shared("sim_memcg")
class SimMemcg(ctypes.Structure):
    _fields_ = (
        *((name, c_uint64) for name in ("parent", "max", "high", "low", "min", "swap_max")),
        ("nr", c_uint64 * NR_LIST),
        *((name, c_uint64) for name in ("nr_swapped", "age", "elow", "emin", "charged")),
        *((name, c_int64) for name in ("psi_ns", "psi_end")),
        *((name, c_uint64) for name in ("faults", "refaults", "pgscan", "pgsteal")),
        *((f"event_{name}", c_uint64) for name in MEMORY_EVENTS),
    )


@shared("sim_lruvec")
class SimLruvec(ctypes.Structure):
    _fields_ = (
        ("run", ctypes.POINTER(SimRun) * NR_LIST),
        *((name, c_uint64 * NR_LIST) for name in ("head", "tail", "nr")),
        ("next", c_uint64),
    )


@shared("sim_free")
class SimFree(ctypes.Structure):
    _fields_ = tuple((name, c_uint64) for name in ("frame", "nr"))


@shared("sim_buddy")
class SimBuddy(ctypes.Structure):
    _fields_ = (
        ("order", ctypes.POINTER(ctypes.c_uint8)),
        *((name, ctypes.POINTER(c_uint32)) for name in ("next", "prev", "pcp")),
        *((name, c_uint64) for name in ("nr_frames", "nr_pcp_max", "last", "nr_pcp", "batch")),
        *((name, c_uint64) for name in ("high_min", "high_max", "high", "free_count", "alloc_factor")),
        *((name, c_int64) for name in ("now", "decayed")),
        *((name, c_uint32 * NR_ORDER) for name in ("head", "tail")),
    )


@shared("sim_event")
class SimEvent(ctypes.Structure):
    _fields_ = (
        ("t", c_int64),
        *((name, c_uint64) for name in ("id", "page", "nr")),
        *((name, c_uint32) for name in ("area", "epoch")),
    )


@shared("sim_res")
class SimRes(ctypes.Structure):
    _fields_ = tuple((name, c_uint64) for name in ("pfn", "nr", "frame", "node"))


@shared("sim_node")
class SimNode(ctypes.Structure):
    _fields_ = (
        ("order", c_uint64 * MAX_NODE),
        ("touch_ns", c_int64 * MAX_NODE),
        *((name, c_uint64) for name in ("total", "wmark_min", "wmark_low", "wmark_high", "nr_free", "nr_free_runs")),
        *((name, c_uint64) for name in ("kswapd_awake", "kswapd_failures", "huge_free")),
    )


@shared("sim_swap")
class SimSwap(ctypes.Structure):
    _fields_ = (
        *((name, c_int64) for name in ("priority", "read_ns", "write_ns")),
        *((name, c_uint64) for name in ("pages", "used", "turn")),
    )


#: Event counters by the names of ``/proc/vmstat`` where it has them, in the order of the record.
COUNTERS: Final = (
    *("pgfault", "pgmajfault", "pswpin", "pswpout", "refault_anon", "refault_file", "writeback"),
    *("pgscan_kswapd", "pgscan_direct", "pgsteal_kswapd", "pgsteal_direct", "pgsteal_advised"),
    *("pgactivate", "pgdeactivate", "allocstall", "oom_kill"),
    *("pgmigrate_success", "pgmigrate_fail"),
    *("thp_fault_alloc", "thp_fault_fallback", "thp_collapse_alloc", "thp_collapse_alloc_failed"),
    *("thp_split_page", "thp_split_pmd", "thp_swpout", "thp_swpout_fallback"),
    *("thp_migration_success", "thp_migration_split"),
)


@shared("sim_machine")
class SimState(ctypes.Structure):
    """``struct sim_machine``."""

    _fields_ = (
        ("area", ctypes.POINTER(SimArea)),
        ("process", ctypes.POINTER(SimProc)),
        ("block", ctypes.POINTER(c_uint64)),
        ("leaf", ctypes.POINTER(c_uint64)),
        ("vacant", ctypes.POINTER(c_uint64)),
        ("used", ctypes.POINTER(c_uint64)),
        ("event", ctypes.POINTER(SimEvent)),
        ("free", ctypes.POINTER(SimFree) * MAX_NODE),
        ("buddy", ctypes.POINTER(SimBuddy)),
        ("memcg", ctypes.POINTER(SimMemcg)),
        ("lruvec", ctypes.POINTER(SimLruvec)),
        *((name, c_uint64) for name in ("seed", "nr_area", "nr_process", "nr_res", "nr_node")),
        *((name, c_uint64) for name in ("nr_memcg", "protected", "run_mask")),
        ("res", SimRes * MAX_RES),
        *((name, c_uint64) for name in ("latency", "nr_swap", "swap_pages", "thp")),
        *((name, c_int64) for name in ("file_read_ns", "file_write_ns")),
        *((name, c_int64) for name in ("fault_ns", "reclaim_ns", "scan_ns", "migrate_ns", "huge_ns")),
        ("next_event", c_int64),
        ("node", SimNode * MAX_NODE),
        ("swap", SimSwap * MAX_SWAP),
        *((name, c_uint64) for name in ("nr_event", "next_id", "next_seq", "swap_used", "sampled")),
        *((name, c_uint64) for name in ("isolated", "nr_isolated")),
        *((name, c_uint64) for name in ("khugepaged", "khugepaged_area", "khugepaged_block")),
        *((name, c_int64) for name in ("psi_ns", "psi_end")),
        *((name, c_uint64) for name in COUNTERS),
    )
