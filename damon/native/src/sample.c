// SPDX-License-Identifier: GPL-2.0-only
/* A stretch of sampling intervals in one call. Its plain form is damon/core/kdamond.py, one interval at a time. */
#include "sample.h"

/* When a sleep ends that begins now: Ticks.sleep_end_ns() of damon/mm/ticks.py. */
static int64_t sleep_end(const struct damon_time *time)
{
	uint64_t ticks;

	if (!time->tick_ns)
		return time->now + time->sleep_ns;
	ticks = time->first_tick + (uint64_t)(time->now / time->tick_ns) + time->sleep_ticks;
	ticks = ((ticks >> time->wheel_shift) + 1) << time->wheel_shift;
	return (int64_t)(ticks - time->first_tick) * time->tick_ns;
}

static void pick(const struct damon_sampled *t, uint64_t *rnd, uint64_t addr_unit)
{
	for (uint64_t i = 0; i < t->nr; i++) {
		struct damon_region *r = &t->regions[i];

		r->sampling_addr = damon_rand(rnd, r->start, r->end);
		t->addrs[i] = r->sampling_addr * addr_unit;
	}
}

static uint32_t count(const struct damon_sampled *t, uint32_t max)
{
	for (uint64_t i = 0; i < t->nr; i++) {
		uint32_t n = t->regions[i].nr_accesses += t->accessed[i] != 0;

		if (n > max)
			max = n;
	}
	return max;
}

/*
 * Up to nr sampling intervals from time->now on; how many there were, and in *highest the highest nr_accesses after the
 * last one. In each: an address of every region is picked and made old, time passes, and what was accessed is counted.
 */
static uint32_t sample(const struct damon_sampled *targets, uint32_t nr_targets, uint64_t *rnd, uint64_t addr_unit,
		       uint32_t nr, struct damon_time *time, uint32_t *highest, int *stopped)
{
	uint32_t done = 0;
	int stop = 0;

	while (done < nr && !stop) {
		int64_t begin = time->now, end = sleep_end(time);
		int quiet = *time->next_event > end;

		if (end >= time->limit)
			break;
		for (uint32_t n = 0; n < nr_targets; n++) {
			const struct damon_sampled *t = &targets[n];

			pick(t, rnd, addr_unit);
			if (quiet)
				t->access->accessed(t->access->space, t->addrs, (uint32_t)t->nr, t->accessed, begin, end);
			else
				t->access->mkold(t->access->space, t->addrs, (uint32_t)t->nr, begin);
		}
		if (!quiet) {
			uint64_t free;

			stop = time->advance(time->machine, end);
			free = time->free_pages(time->machine);
			stop |= free < time->free_low || free > time->free_high;
		}
		*highest = 0;
		for (uint32_t n = 0; n < nr_targets; n++) {
			const struct damon_sampled *t = &targets[n];

			if (!quiet)
				t->access->young(t->access->space, t->addrs, (uint32_t)t->nr, t->accessed, end);
			*highest = count(t, *highest);
		}
		time->now = end;
		stop |= end >= time->due;
		done++;
	}
	*stopped = stop;
	return done;
}

/* As sample(), and on after each boundary that needs no Python; at most `most` intervals or a few more. */
EXPORT uint32_t damon_sample(struct damon_sampled *targets, uint32_t nr_targets, uint64_t *rnd, uint64_t addr_unit,
			     uint32_t nr, uint32_t most, struct damon_time *time, struct damon_boundary *boundary,
			     uint32_t *highest)
{
	uint32_t done = 0, part;
	int stop;

	do {
		part = sample(targets, nr_targets, rnd, addr_unit, nr, time, highest, &stop);
		done += part;
		if (part < nr || stop || !boundary || done >= most)
			break;
		nr = boundary->reach(boundary, targets, nr_targets, rnd, part, *highest, time->now);
	} while (nr);
	return done;
}
