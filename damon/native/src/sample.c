// SPDX-License-Identifier: GPL-2.0-only
/* A stretch of sampling intervals in one call. Its plain form is damon/core/kdamond.py, one interval at a time. */
#include <string.h>

#include "sample.h"

/* So few samples of a region cost less than a look at whether it is empty. */
#define FEW 4

/* When a sleep ends that follows on a look at the last sample: Ticks.sleep_end_ns() of damon/model/ticks.py. */
static int64_t sleep_end(const struct damon_time *time, uint64_t found)
{
	int64_t begin = time->now + time->check_ns * (int64_t)found;
	uint64_t ticks;

	if (!time->tick_ns)
		return begin + time->sleep_ns + time->late_ns;
	ticks = time->first_tick + (uint64_t)(begin / time->tick_ns) + time->sleep_ticks;
	ticks = ((ticks >> time->wheel_shift) + 1) << time->wheel_shift;
	return (int64_t)(ticks - time->first_tick) * time->tick_ns + time->late_ns;
}

/* The regions to sample: all of them, or without those that are empty. */
static void load(struct damon_sampled *t, uint64_t addr_unit, int all)
{
	t->nr_spans = 0;
	for (uint64_t i = 0; i < t->nr; i++) {
		const struct damon_region *r = &t->regions[i];

		if (all || !damon_is_empty(t, r->start, r->end, addr_unit))
			t->spans[t->nr_spans++] = (struct damon_span){ r->start, damon_region_sz(r), i };
	}
	memset(t->hits, 0, t->nr_spans * sizeof(*t->hits));
}

/* What damon_pick_sampling_addrs() picks; the regions' rows get the last addresses only, from store(). */
static uint64_t pick(const struct damon_sampled *t, uint64_t rnd, uint64_t addr_unit)
{
	const struct damon_span *spans = t->spans;
	uint64_t *addrs = t->addrs;

	for (uint64_t i = 0, nr = t->nr_spans; i < nr; i++) {
		const struct damon_span *s = &spans[i];

		addrs[i] = damon_rand_nth(rnd, s->index, s->start, s->start + s->size) * addr_unit;
	}
	return rnd + t->nr * DAMON_RND_STEP;
}

/* What was counted goes to the regions. */
static void store_hits(const struct damon_sampled *t)
{
	for (uint64_t i = 0; i < t->nr_spans; i++)
		t->regions[t->spans[i].index].nr_accesses += t->hits[i];
}

/* The same, and the addresses of the last sample, before which the generator was at rnd. */
static uint64_t store(const struct damon_sampled *t, uint64_t rnd, uint32_t *highest)
{
	store_hits(t);
	for (uint64_t i = 0; i < t->nr; i++) {
		struct damon_region *r = &t->regions[i];

		r->sampling_addr = damon_rand(&rnd, r->start, r->end);
		if (r->nr_accesses > *highest)
			*highest = r->nr_accesses;
	}
	return rnd;
}

static void count(const struct damon_sampled *t)
{
	for (uint64_t i = 0; i < t->nr_spans; i++)
		t->hits[i] += t->accessed[i] != 0;
}

/* A sample between two moments at which something happens in the machine: it is asked for at the second one. */
static int sample_and_wait(const struct damon_sampled *targets, uint32_t nr_targets, struct damon_time *time,
			   int64_t end)
{
	uint64_t free;
	int stop;

	for (uint32_t n = 0; n < nr_targets; n++) {
		const struct damon_sampled *t = &targets[n];

		t->access->mkold(t->access->space, t->addrs, (uint32_t)t->nr_spans, time->now);
	}
	stop = time->advance(time->machine, end);
	free = time->free_pages(time->machine);
	for (uint32_t n = 0; n < nr_targets; n++) {
		const struct damon_sampled *t = &targets[n];

		t->access->young(t->access->space, t->addrs, (uint32_t)t->nr_spans, t->accessed, end);
		count(t);
	}
	return stop || free < time->free_low || free > time->free_high;
}

/* A sample in whose time nothing happens in the machine but accesses. */
static void sample_at_once(const struct damon_sampled *targets, uint32_t nr_targets, int64_t now, int64_t end)
{
	for (uint32_t n = 0; n < nr_targets; n++) {
		const struct damon_sampled *t = &targets[n];

		t->access->accessed(t->access->space, t->addrs, (uint32_t)t->nr_spans, t->hits, now, end);
	}
}

/* One sample, which ends at `end`; *found: the pages that it was taken of. 1: it is the last one. */
static int take(const struct damon_sampled *targets, uint32_t nr_targets, uint64_t *rnd, uint64_t addr_unit,
		struct damon_time *time, int64_t end, uint64_t *found)
{
	uint64_t sampled = *time->sampled;
	int stop = 0;

	for (uint32_t n = 0; n < nr_targets; n++)
		*rnd = pick(&targets[n], *rnd, addr_unit);
	if (*time->next_event <= end)
		stop = sample_and_wait(targets, nr_targets, time, end);
	else
		sample_at_once(targets, nr_targets, time->now, end);
	*found = *time->sampled - sampled;
	time->now = end;
	return stop || end >= time->due;
}

/*
 * Up to nr sampling intervals from time->now on; how many there were, and in *highest the highest nr_accesses after the
 * last one. In each: an address of every region is picked and made old, time passes, and what was accessed is counted.
 */
static uint32_t sample(struct damon_sampled *targets, uint32_t nr_targets, uint64_t *rnd, uint64_t addr_unit,
		       uint32_t nr, struct damon_time *time, uint32_t *highest, uint64_t *found, int *stopped)
{
	uint64_t before = *rnd;
	uint32_t done = 0;
	int stop = 0, all = nr < FEW;

	for (uint32_t n = 0; n < nr_targets; n++)
		load(&targets[n], addr_unit, all);
	while (done < nr && !stop) {
		int64_t end = sleep_end(time, *found);

		if (end >= time->limit)
			break;
		if (!all && *time->next_event <= end) { /* pages may come to where there is none */
			all = 1;
			for (uint32_t n = 0; n < nr_targets; n++) {
				store_hits(&targets[n]);
				load(&targets[n], addr_unit, all);
			}
		}
		before = *rnd;
		stop = take(targets, nr_targets, rnd, addr_unit, time, end, found);
		done++;
	}
	if (done)
		*highest = 0;
	for (uint32_t n = 0; done && n < nr_targets; n++)
		before = store(&targets[n], before, highest);
	*stopped = stop;
	return done;
}

/*
 * As sample(), and on after each boundary that needs no Python; at most `most` intervals or a few more. *found: pages
 * that the last sample before, and at the end the last one, was taken of.
 */
EXPORT uint32_t damon_sample(struct damon_sampled *targets, uint32_t nr_targets, uint64_t *rnd, uint64_t addr_unit,
			     uint32_t nr, uint32_t most, struct damon_time *time, struct damon_boundary *boundary,
			     uint32_t *highest, uint64_t *found)
{
	uint32_t done = 0, part;
	int stop;

	do {
		part = sample(targets, nr_targets, rnd, addr_unit, nr, time, highest, found, &stop);
		done += part;
		if (part < nr || stop || !boundary || done >= most)
			break;
		nr = boundary->reach(boundary, targets, nr_targets, rnd, addr_unit, part, *highest, time->now,
				     sleep_end(time, *found) < time->limit);
	} while (nr);
	return done;
}
