/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Many sampling intervals at once. A machine whose time C can pass offers these records, and the operations sets' loop
 * (sample.c) calls them: it knows no machine, and a machine knows no regions. Python owns all of them
 * (damon/mm/ahead.py, damon/ops/ahead.py).
 */
#ifndef PYDAMON_SAMPLE_H
#define PYDAMON_SAMPLE_H

#include "damon.h"

/* One address space of a machine. */
struct damon_access {
	void *space;
	void (*mkold)(void *space, const uint64_t *addrs, uint32_t nr, int64_t now);
	void (*young)(void *space, const uint64_t *addrs, uint32_t nr, uint8_t *out, int64_t now);
	/*
	 * mkold() at t_old, then young() at now, while nothing happens in between but accesses: each that is young is
	 * counted in hits
	 */
	void (*accessed)(void *space, const uint64_t *addrs, uint32_t nr, uint32_t *hits, int64_t t_old, int64_t now);
	/* Is there no folio in the pages of [start, end)? NULL: it is not known. */
	int (*empty)(void *space, uint64_t start, uint64_t end);
};

/* A stretch of a machine's time. */
struct damon_time {
	void *machine;
	int (*advance)(void *machine, int64_t now); /* catch up; 1: more has happened than accesses and faults */
	uint64_t (*free_pages)(void *machine);
	const int64_t *next_event; /* of the machine: before that there is nothing to catch up with */
	int64_t now;
	int64_t limit; /* something else is due then: no sample ends at it or later */
	int64_t due; /* the first sample that ends at it or later is the last one */
	uint64_t free_low, free_high; /* as is the first sample that ends with another number of free pages */
	const uint64_t *sampled; /* of the machine: pages that samples were taken of */
	int64_t check_ns; /* a sleep begins so much later for each of these in the last sample */
	int64_t late_ns; /* and ends so much later */
	int64_t sleep_ns; /* the length of a sleep, if it does not end at a tick */
	int64_t tick_ns; /* 0: it does not */
	uint64_t first_tick, sleep_ticks; /* the number of the tick at time 0; the length of a sleep */
	uint64_t wheel_shift; /* what it is rounded up to, a power of two of ticks */
};

/* One of the regions that are sampled, number index of its target. */
struct damon_span {
	uint64_t start, size, index;
};

/*
 * What is sampled of one target: regions has memory for capacity rows, the others for room of them. They are scratch:
 * sampling needs a fifth of a region's row, and all of them fit the caches better.
 */
struct damon_sampled {
	struct damon_region *regions;
	struct damon_span *spans;
	uint64_t *addrs;
	uint32_t *hits;
	uint8_t *accessed;
	const struct damon_access *access;
	uint64_t nr, capacity, room;
	uint64_t nr_spans; /* the others are empty, and no sample of theirs would find anything */
};

/* Is it known that there is no folio in [start, end)? */
static inline int damon_is_empty(const struct damon_sampled *t, uint64_t start, uint64_t end, uint64_t addr_unit)
{
	return t->access->empty && end - start < 1ull << 40 && end <= UINT64_MAX / addr_unit &&
	       t->access->empty(t->access->space, start * addr_unit, end * addr_unit);
}

/*
 * What happens after a number of samples, as far as it needs no Python: after how many more it happens again. 0: it
 * needs Python now. It may change the targets' regions. more: at least one more sample would follow.
 */
struct damon_boundary {
	uint32_t (*reach)(struct damon_boundary *this, struct damon_sampled *targets, uint32_t nr_targets,
			  uint64_t *rnd, uint64_t addr_unit, uint32_t nr_samples, uint32_t highest, int64_t now,
			  int more);
};

#endif
