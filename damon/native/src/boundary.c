// SPDX-License-Identifier: GPL-2.0-only
/*
 * The ends of aggregation intervals at which schemes find nothing to act on, without Python. Step by step the same as
 * Kdamond._iteration() of damon/core/kdamond.py, which does all others.
 */
#include "results.h"

static uint64_t nr_regions(const struct damon_sampled *targets, uint32_t nr_targets)
{
	uint64_t nr = 0;

	for (uint32_t n = 0; n < nr_targets; n++)
		nr += targets[n].nr;
	return nr;
}

/* Twin: damon_region_sz_limit() of damon/core/regions.py. */
static uint64_t region_sz_limit(const struct damon_quiet *q, const struct damon_sampled *targets, uint32_t nr_targets)
{
	uint64_t total = 0;

	for (uint32_t n = 0; n < nr_targets; n++)
		total += damon_total_size(targets[n].regions, (uint32_t)targets[n].nr);
	total /= q->min_nr_regions;
	return total > q->min_region_sz ? total : q->min_region_sz;
}

static int all_right(const struct damon_sampled *targets, uint32_t nr_targets)
{
	uint32_t at;

	for (uint32_t n = 0; n < nr_targets; n++)
		if (damon_check_regions(targets[n].regions, (uint32_t)targets[n].nr, 1, &at))
			return 0;
	return 1;
}

/* Twin: kdamond_merge_regions(). */
static void merge(struct damon_quiet *q, struct damon_sampled *targets, uint32_t nr_targets, uint64_t threshold)
{
	int count_age = 1;

	for (;;) {
		for (uint32_t n = 0; n < nr_targets; n++)
			targets[n].nr = damon_merge_regions_of(targets[n].regions, (uint32_t)targets[n].nr,
							       (uint32_t)threshold, q->sz_limit, count_age, 0);
		if (nr_regions(targets, nr_targets) <= q->max_nr_regions || threshold >= q->max_threshold)
			return;
		if (threshold >= q->max_threshold / 2)
			threshold = q->max_threshold;
		else
			threshold = threshold ? 2 * threshold : 1;
		count_age = 0;
	}
}

/* Twin: damon_apply_min_nr_regions(). 0: there is no room for it. */
static int split_big(struct damon_quiet *q, struct damon_sampled *targets, uint32_t nr_targets)
{
	uint64_t limit = region_sz_limit(q, targets, nr_targets);

	limit = (limit + q->min_region_sz - 1) & ~(q->min_region_sz - 1);
	for (uint32_t n = 0; n < nr_targets; n++) {
		uint64_t rows = damon_nr_split_to_limit(targets[n].regions, (uint32_t)targets[n].nr, limit);

		if (rows > targets[n].capacity || rows > targets[n].room)
			return 0;
		if (rows > targets[n].nr) {
			damon_split_to_limit(targets[n].regions, (uint32_t)targets[n].nr, limit, rows);
			targets[n].nr = rows;
		}
	}
	q->sz_limit = limit;
	return 1;
}

/* Twin: kdamond_split_regions() of damon/core/regions.py. 0: there is no room for it, and nothing has changed. */
static int split(struct damon_quiet *q, struct damon_sampled *targets, uint32_t nr_targets, uint64_t *rnd)
{
	uint64_t nr = nr_regions(targets, nr_targets), most = q->max_nr_regions, first = 0;

	uint32_t subs = q->last_nr_regions == nr && nr < most / 3 ? 3 : 2;

	if (nr > most / 2)
		subs = nr < most ? 2 : 1;
	for (uint32_t n = 0; n < nr_targets; n++)
		if (targets[n].nr * subs > targets[n].capacity ||
		    (subs > 1 && most > targets[n].room && targets[n].nr * subs > targets[n].room))
			return 0;
	for (uint32_t n = 0; n < nr_targets; n++)
		damon_reset_aggregated(targets[n].regions, (uint32_t)targets[n].nr);
	if (most / 2 < nr && nr < most) {
		uint64_t step = most / (most - nr), offset = q->rotation++ % step;

		for (uint32_t n = 0; n < nr_targets; n++) {
			uint32_t before = (uint32_t)targets[n].nr;

			targets[n].nr = damon_split_some_regions_of(targets[n].regions, before, first, step, offset,
								    q->min_region_sz, rnd);
			first += before;
		}
	} else if (nr <= most / 2) {
		for (uint32_t n = 0; n < nr_targets; n++)
			targets[n].nr = damon_split_regions_of(targets[n].regions, (uint32_t)targets[n].nr, subs,
							       q->min_region_sz, rnd);
	}
	q->last_nr_regions = nr;
	return 1;
}

static uint32_t reach(struct damon_boundary *this, struct damon_sampled *targets, uint32_t nr_targets, uint64_t *rnd,
		      uint64_t addr_unit, uint32_t nr_samples, uint32_t highest, int64_t now, int more)
{
	struct damon_quiet *q = (struct damon_quiet *)this;
	uint64_t next;

	q->passed += nr_samples;
	if (q->passed < q->next_aggregation || q->passed >= q->next_ops_update || !all_right(targets, nr_targets))
		return 0;
	merge(q, targets, nr_targets, highest / 10);
	q->stage = STAGE_MERGED;
	if (!split_big(q, targets, nr_targets))
		return 0;
	if (q->results && !damon_results_keep(q->results, q, targets, nr_targets, addr_unit, now))
		return 0;
	/* statistics are copied before schemes act, and again when somebody looks after one more sample at least */
	if (!damos_quiet_pass(q, targets, nr_targets, addr_unit, now, region_sz_limit(q, targets, nr_targets),
			      more && q->acts))
		return 0;
	q->stage = STAGE_APPLIED;
	if (!split(q, targets, nr_targets, rnd))
		return 0;
	q->stage = STAGE_SAMPLED;
	q->done++;
	next = q->next_aggregation += q->aggr_samples;
	for (uint64_t i = 0; i < q->nr_schemes; i++)
		if (q->schemes[i].next_apply < next)
			next = q->schemes[i].next_apply;
	if (q->next_ops_update < next)
		next = q->next_ops_update;
	if (next <= q->passed)
		return 1;
	return next - q->passed < UINT32_MAX ? (uint32_t)(next - q->passed) : UINT32_MAX;
}

EXPORT void damon_quiet_boundary(struct damon_quiet *q)
{
	q->boundary.reach = reach;
}
