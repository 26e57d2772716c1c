/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The state of a simulated machine. Python owns all memory (damon/mm/sim/state.py) and shares these records
 * (twins in damon/mm/sim/layout.py); C never allocates. Big arrays are reserved address space, cheap until touched.
 */
#ifndef PYDAMON_SIM_STATE_H
#define PYDAMON_SIM_STATE_H

#include "damon.h"
#include "trace.h"

#define SIM_NEVER INT64_MAX
#define SIM_BLOCK_SHIFT 9 /* frames of one entry of the block table: 2 MiB */
#define SIM_BLOCK (1ull << SIM_BLOCK_SHIFT)
#define SIM_LEAF 1ull /* block entry: look into leaf[] */
#define SIM_PAGE_BITS 40
#define SIM_PAGE_MASK ((1ull << SIM_PAGE_BITS) - 1)
#define SIM_KSWAPD UINT32_MAX /* "area" of a daemon's event; its page is the node, or SIM_KHUGEPAGED */
#define SIM_KHUGEPAGED SIM_MAX_NODE
#define SIM_MAX_RES 64
#define SIM_MAX_NODE 8
#define SIM_MAX_SWAP 8
#define SIM_MAX_SEG (1u << 20)
#define SIM_CLUSTER 32 /* SWAP_CLUSTER_MAX */
#define SIM_PRIORITY 12 /* DEF_PRIORITY */
#define SIM_SWAPPINESS 60
#define SIM_FAILURES 16 /* MAX_RECLAIM_RETRIES */
#define SIM_CHARGE_BATCH 64 /* MEMCG_CHARGE_BATCH */
#define SIM_NO_LIMIT UINT64_MAX

enum sim_pattern { PATTERN_NONE, PATTERN_STRIDED, PATTERN_RANDOM, PATTERN_ZIPF, PATTERN_TRACE };
enum sim_kind { KIND_ANON, KIND_FILE };
enum sim_thp { THP_NEVER, THP_MADVISE, THP_ALWAYS };
enum sim_thp_advice { ADVISED_NOTHING, ADVISED_HUGE, ADVISED_NOHUGE, ADVISED_PARTLY }; /* PARTLY: no folio fits */
enum sim_list { LIST_INACTIVE, LIST_ACTIVE, LIST_UNEVICTABLE = 4, NR_LIST }; /* kind * 2 + active */

enum sim_page_flags {
	PG_PRESENT = 1,
	PG_IDLE = 2, /* made old at t_old */
	PG_ACTIVE = 4,
	PG_REFERENCED = 8, /* reclaim saw one access */
	PG_DIRTY = 16, /* file pages only: anonymous memory is always written to swap */
	PG_SWAPPED = 32,
	PG_EVICTED = 64, /* was in memory before: coming back is a refault */
	PG_HUGE = 128, /* the first page of a folio of SIM_BLOCK pages */
};

/* Two bits a page: all that samples of cold memory ever touch. */
enum sim_state {
	ST_PRISTINE, /* as the area's bulk state says; the record is not in use */
	ST_IDLE, /* pristine, but made old while its area was not accessed */
	ST_VALID, /* as its record says */
	ST_TAIL, /* as the first page of its folio; of its own record only `covered` counts */
};

/* One page that is more than a part of bulk state: one cache line. Times are ns; -1 = never. */
struct sim_page {
	int64_t t_eval; /* its accesses are drawn up to here */
	int64_t t_last; /* the last one of them */
	int64_t t_old; /* when access monitoring made it old */
	int64_t t_ref; /* when reclaim last cleared its accessed bit */
	uint64_t seq; /* run of a LRU list that it is on; other runs' claims are stale */
	uint64_t shadow; /* age of its evictor's lists when it was evicted */
	uint32_t frame;
	uint32_t covered; /* epoch of the area in which a pending event stands for this present page */
	uint32_t flags;
	uint16_t swap; /* the device that it is in */
	uint16_t evictor; /* the cgroup whose limit it had to leave for; 0: the machine's */
};

/* One stretch of time in which an area's accesses do not change, from t0 to the next one's. */
struct sim_seg {
	int64_t t0;
	double rate; /* touches a ns, whole area */
	double share; /* random: 1/pages; zipf: 1/sum of r^-skew; trace: 1/touches in a stage */
	double skew;
	double write; /* share of writes */
	uint64_t stride, period; /* bytes; touches until it starts over */
	uint64_t base; /* touches that the cursor was ahead at t0; trace: the stage that rate and share are of */
	double owed; /* part of a touch that the last segment left */
	uint32_t pattern;
	uint32_t pad;
};

/* Pristine pages [page, page + nr) in frames from frame on. */
struct sim_ext {
	uint64_t page, nr, frame;
};

/* What an area replays: pages and a time of a trace file, both scaled. */
struct sim_trace {
	const uint8_t *data;
	uint64_t table[TRACE_LEVELS], nr[TRACE_LEVELS]; /* of each level: offset in data, windows */
	uint64_t first, nr_pages; /* in the file's space */
	int64_t origin; /* the machine's time at which it begins */
	int64_t begin, length; /* the part of the file's time */
	double time_scale, size_scale; /* the machine's ns, or pages, for one of the file's */
	uint32_t nr_levels, loop;
	uint32_t exact, pad; /* counts are those of an exact capture: touches at even distances, not at random times */
};

struct sim_area {
	struct sim_page *page;
	uint8_t *st; /* four pages a byte */
	struct sim_seg *seg;
	struct sim_ext *ext;
	uint8_t *thp; /* advice, by SIM_BLOCK pages */
	const struct sim_trace *trace; /* of PATTERN_TRACE */
	uint64_t *wanted; /* by page: the frame that it first gets if that is free, and 1 more; 0: any */
	uint64_t
		more_looks; /* a sample of its pages takes as much as one and so many others: many processes map them */
	uint64_t start, nr_pages;
	uint32_t process, kind, memcg, locked; /* locked: by mlock(2), no page leaves or is on another list */
	/* from here on: changes */
	uint32_t mapped, epoch, nr_seg, nr_ext;
	int64_t t_mapped;
	uint64_t nr_bulk, nr_bulk_idle;
	uint64_t nr_present, nr_swapped, nr_active, nr_huge;
	uint64_t faults, refaults, reclaimed, touches;
	uint64_t bulk_seq[SIM_MAX_NODE], node_present[SIM_MAX_NODE], node_active[SIM_MAX_NODE];
	int64_t latency_t; /* latency_ns counts up to here */
	double latency_ns, touch_ns; /* what touches of pages in memory cost: in all, and the mean touch now */
	double node_rate[SIM_MAX_NODE]; /* touches of pages in memory now, in a ns by their node */
	uint64_t nr_evicted; /* pages out of memory that were in it since the area was mapped */
	int64_t residence_t; /* the next two count up to here: pages x ns */
	double present_ns, evicted_ns;
};

struct sim_process {
	int64_t busy_until;
	uint64_t stall_ns, faults, refaults, nr_present, nr_swapped;
	uint32_t first_area, nr_area; /* by ascending address */
	uint32_t alive, node; /* node: where it runs, and first asks for memory */
	/* kills for want of memory; of the last one: when, its pages then, free pages and swap slots */
	uint64_t killed;
	int64_t killed_t;
	uint64_t killed_present, killed_swapped, killed_free, killed_swap;
	uint64_t killed_memcg; /* the cgroup that had no more memory; 0: the machine */
};

/*
 * What a cgroup's areas and the cgroups below it are charged, in pages; number 0 is the root. All memory is on lists,
 * so its lists are its usage. A cgroup has a higher number than the one that it is in.
 */
struct sim_memcg {
	uint64_t parent, max, high, low, min, swap_max;
	/* from here on: changes */
	uint64_t nr[NR_LIST], nr_swapped;
	uint64_t age; /* of its lists, as nonresident_age of mm/workingset.c */
	uint64_t elow, emin; /* of low and min, what is in force in the reclaim that runs */
	uint64_t charged; /* since it was looked at whether it is above high */
	int64_t psi_ns, psi_end;
	uint64_t faults, refaults, pgscan, pgsteal; /* by its own limits, or those above it */
	uint64_t event_low, event_high, event_max, event_oom, event_oom_kill; /* as memory.events */
};

/* The LRU lists of a cgroup on a node; only of its own pages, not of those below it. */
struct sim_lruvec {
	struct sim_run *run[NR_LIST]; /* rings */
	/* from here on: changes */
	uint64_t head[NR_LIST], tail[NR_LIST], nr[NR_LIST];
	uint64_t next; /* where reclaim from it and those below it goes on */
};

/* Consecutive pages that were put on a list one after the other; the oldest first. */
struct sim_run {
	uint64_t page, nr, seq;
	uint32_t area, pad;
};

struct sim_free {
	uint64_t frame, nr;
};

#define SIM_NR_ORDER 11 /* of free blocks: 1 to 1024 frames */

/* The page allocator's free frames, of a machine whose pages are where they were on a real one (sim_buddy.c). */
struct sim_buddy {
	uint8_t *order; /* by frame: of the free block that begins with it, and one; 0: none does */
	uint32_t *next, *prev; /* by the first frame of a block: those in the list of its order */
	uint32_t *pcp; /* the processor's list, a ring */
	uint64_t nr_frames, nr_pcp_max;
	uint64_t last, nr_pcp; /* the newest of it, and how many there are */
	uint64_t batch, high_min, high_max, high, free_count, alloc_factor;
	int64_t now, decayed;
	uint32_t head[SIM_NR_ORDER], tail[SIM_NR_ORDER];
};

/* The first touch of an absent page among [page, page + nr). */
struct sim_event {
	int64_t t;
	uint64_t id, page, nr;
	uint32_t area, epoch;
};

/* System RAM, whole frames, by ascending page frame number. */
struct sim_res {
	uint64_t pfn, nr, frame, node;
};

/* A NUMA node: its free memory, its reclaim daemon. */
struct sim_node {
	uint64_t order[SIM_MAX_NODE]; /* nodes by their distance from here, this one first */
	int64_t touch_ns[SIM_MAX_NODE]; /* a touch from a processor here, by the node of the memory */
	uint64_t total, wmark_min, wmark_low, wmark_high;
	uint64_t nr_free, nr_free_runs;
	uint64_t kswapd_awake, kswapd_failures;
	uint64_t huge_free; /* frames freed since no free folio of SIM_BLOCK pages was found */
};

/* Sorted by priority, the highest first. */
struct sim_swap {
	int64_t priority, read_ns, write_ns;
	uint64_t pages, used, turn; /* turn: who of those with the same priority is next, at the first of them */
};

struct sim_machine {
	struct sim_area *area;
	struct sim_process *process;
	uint64_t *block; /* 0 none, SIM_LEAF, or (area + 2) << 32 | extent */
	uint64_t *leaf; /* by frame: (area + 1) << 40 | page */
	uint64_t *vacant; /* a bit a frame: set, there is certainly no page in it */
	uint64_t *used; /* a bit a block of frames: clear, all of it is vacant */
	struct sim_event *event; /* a binary heap by (t, id) */
	struct sim_free *free[SIM_MAX_NODE]; /* stacks of runs */
	struct sim_buddy *buddy; /* NULL: all free frames are in these stacks */
	struct sim_memcg *memcg;
	struct sim_lruvec *lruvec; /* by cgroup, then by node */
	uint64_t seed, nr_area, nr_process, nr_res, nr_node, nr_memcg, protected,
		run_mask; /* protected: a cgroup has low or min */
	struct sim_res res[SIM_MAX_RES];
	uint64_t latency, nr_swap, swap_pages, thp; /* latency: touches are charged */
	int64_t file_read_ns, file_write_ns, fault_ns, reclaim_ns, scan_ns, migrate_ns, huge_ns;
	/* from here on: changes */
	int64_t next_event;
	struct sim_node node[SIM_MAX_NODE];
	struct sim_swap swap[SIM_MAX_SWAP];
	uint64_t nr_event, next_id, next_seq, swap_used;
	uint64_t sampled; /* pages that were made old by samples, and more_looks of each */
	uint64_t isolated, nr_isolated; /* frames on their way offline: not free when they are freed */
	uint64_t khugepaged, khugepaged_area, khugepaged_block; /* awake; where it goes on */
	int64_t psi_ns, psi_end;
	uint64_t pgfault, pgmajfault, pswpin, pswpout, refault_anon, refault_file, writeback;
	uint64_t pgscan_kswapd, pgscan_direct, pgsteal_kswapd, pgsteal_direct, pgsteal_advised;
	uint64_t pgactivate, pgdeactivate, allocstall, oom_kill;
	uint64_t pgmigrate_success, pgmigrate_fail;
	uint64_t thp_fault_alloc, thp_fault_fallback, thp_collapse_alloc, thp_collapse_alloc_failed;
	uint64_t thp_split_page, thp_split_pmd, thp_swpout, thp_swpout_fallback;
	uint64_t thp_migration_success, thp_migration_split;
};

/* What can be sampled: physical memory, or one process. */
struct sim_space {
	struct sim_machine *m;
	uint64_t process;
};

#endif
