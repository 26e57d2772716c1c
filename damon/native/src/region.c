// SPDX-License-Identifier: GPL-2.0-only
/* Regions of one target: sampling, merge, age, reset, split. Twins: damon/ops/sampling.py, damon/core/reference.py. */
#include <string.h>

#include "damon.h"

/* Pick each region's sampling address; out[i] is the same in the machine's bytes (times addr_unit). */
EXPORT void damon_pick_sampling_addrs(struct damon_region *regions, uint32_t nr, uint64_t *rnd, uint64_t addr_unit,
				      uint64_t *out)
{
	for (uint32_t i = 0; i < nr; i++) {
		struct damon_region *r = &regions[i];

		r->sampling_addr = damon_rand(rnd, r->start, r->end);
		out[i] = r->sampling_addr * addr_unit;
	}
}

/* Count one sample; the highest nr_accesses of the target so far. */
EXPORT uint32_t damon_update_region_accesses(struct damon_region *regions, uint32_t nr, const uint8_t *accessed)
{
	uint32_t max = 0;

	for (uint32_t i = 0; i < nr; i++) {
		uint32_t n = regions[i].nr_accesses += accessed[i] != 0;

		if (n > max)
			max = n;
	}
	return max;
}

EXPORT uint64_t damon_total_size(const struct damon_region *regions, uint32_t nr)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < nr; i++)
		sum += damon_region_sz(&regions[i]);
	return sum;
}

static uint32_t distance(uint32_t a, uint32_t b)
{
	return a > b ? a - b : b - a;
}

/* The division of 128 bits costs ten times that of 64, and most need neither. */
static uint32_t weighted(uint32_t l, uint64_t sz_l, uint32_t r, uint64_t sz_r)
{
	unsigned __int128 sum;

	if (l == r)
		return l;
	if (!((sz_l | sz_r) >> 31))
		return (uint32_t)((l * sz_l + r * sz_r) / (sz_l + sz_r));
	sum = (unsigned __int128)l * sz_l + (unsigned __int128)r * sz_r;
	return (uint32_t)(sum / (sz_l + sz_r));
}

static void merge_two(struct damon_region *l, const struct damon_region *r)
{
	uint64_t sz_l = damon_region_sz(l), sz_r = damon_region_sz(r);

	l->nr_accesses = weighted(l->nr_accesses, sz_l, r->nr_accesses, sz_r);
	l->age = weighted(l->age, sz_l, r->age, sz_r);
	for (int i = 0; i < DAMON_MAX_PROBES; i++)
		l->probe_hits[i] = (uint8_t)weighted(l->probe_hits[i], sz_l, r->probe_hits[i], sz_r);
	l->end = r->end;
}

/* What regions are told apart by: accesses, or with weights the weighted sum of probe hits. */
static uint32_t merge_score(const struct damon_region *r, const uint32_t *weights)
{
	return weights ? damon_probe_hits_wsum(r->probe_hits, weights) : r->nr_accesses;
}

static uint32_t last_merge_score(const struct damon_region *r, const uint32_t *weights)
{
	return weights ? damon_probe_hits_wsum(r->last_probe_hits, weights) : r->last_nr_accesses;
}

/* One merge pass; the new number of regions. */
EXPORT uint32_t damon_merge_regions_of(struct damon_region *regions, uint32_t nr, uint32_t threshold, uint64_t sz_limit,
				       int count_age, const uint32_t *weights)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < nr; i++) {
		struct damon_region *r = &regions[i], *prev;
		uint32_t score = merge_score(r, weights);

		if (count_age) {
			uint32_t last = last_merge_score(r, weights);

			if (distance(score, last) > threshold || (score == 0) != (last == 0))
				r->age = 0;
			else
				r->age++;
		}
		prev = kept ? &regions[kept - 1] : NULL;
		if (prev && prev->end == r->start && distance(merge_score(prev, weights), score) <= threshold &&
		    damon_region_sz(prev) + damon_region_sz(r) <= sz_limit) {
			merge_two(prev, r);
			continue;
		}
		if (kept != i)
			regions[kept] = *r;
		kept++;
	}
	return kept;
}

EXPORT void damon_reset_aggregated(struct damon_region *regions, uint32_t nr)
{
	for (uint32_t i = 0; i < nr; i++) {
		struct damon_region *r = &regions[i];

		r->last_nr_accesses = r->nr_accesses;
		r->nr_accesses = 0;
		memcpy(r->last_probe_hits, r->probe_hits, sizeof(r->probe_hits));
		memset(r->probe_hits, 0, sizeof(r->probe_hits));
	}
}

/* Write [r->start, r->start + sz) to *out and leave the rest in *r. */
static void cut_front(struct damon_region *r, uint64_t sz, struct damon_region *out)
{
	*out = *r;
	out->end = r->start = r->start + sz;
}

/* Where to cut a region of sz bytes, 0 for "not this time". min_sz is a power of two. */
static uint64_t random_cut(uint64_t sz, uint64_t min_sz, uint64_t *rnd)
{
	uint64_t tenths = damon_rand(rnd, 1, 10);
	uint64_t sub = sz >> 60 ? (uint64_t)((unsigned __int128)tenths * sz / 10) : tenths * sz / 10;

	sub &= ~(min_sz - 1);
	return sub >= sz ? 0 : sub;
}

/*
 * Cut every region into up to nr_subs (2 or 3) pieces; the new number of regions. There must be room for
 * nr * nr_subs rows: the old rows move to the far end first and are read from there.
 */
EXPORT uint32_t damon_split_regions_of(struct damon_region *regions, uint32_t nr, uint32_t nr_subs, uint64_t min_sz,
				       uint64_t *rnd)
{
	struct damon_region *old = regions + (uint64_t)nr * (nr_subs - 1);
	uint32_t out = 0;

	memmove(old, regions, nr * sizeof(*regions));
	for (uint32_t i = 0; i < nr; i++) {
		struct damon_region r = old[i], pieces[2];
		uint64_t sz = damon_region_sz(&r);
		uint32_t cuts = 0;

		/* A later cut hits the left part again, so pieces come out right to left. */
		for (uint32_t n = 0; n < nr_subs - 1 && sz > 2 * min_sz; n++) {
			uint64_t sub = random_cut(sz, min_sz, rnd);

			if (!sub)
				continue;
			pieces[cuts] = r;
			pieces[cuts].start = r.start + sub;
			r.end = r.start + sub;
			cuts++;
			sz = sub;
		}
		regions[out++] = r;
		while (cuts)
			regions[out++] = pieces[--cuts];
	}
	return out;
}

/*
 * Cut in two each region whose index (first + i) falls on offset modulo step; the new number of regions.
 * There must be room for 2 * nr rows.
 */
EXPORT uint32_t damon_split_some_regions_of(struct damon_region *regions, uint32_t nr, uint64_t first, uint64_t step,
					    uint64_t offset, uint64_t min_sz, uint64_t *rnd)
{
	struct damon_region *old = regions + nr;
	uint64_t turn = first % step;
	uint32_t out = 0;

	memmove(old, regions, nr * sizeof(*regions));
	for (uint32_t i = 0; i < nr; i++, turn = turn + 1 == step ? 0 : turn + 1) {
		struct damon_region r = old[i];
		uint64_t sz = damon_region_sz(&r), sub = 0;

		if (turn == offset && sz >= 2 * min_sz)
			sub = random_cut(sz, min_sz, rnd);
		if (sub)
			cut_front(&r, sub, &regions[out++]);
		regions[out++] = r;
	}
	return out;
}

/* What can be wrong with a region; empty also when its end lies before its start. */
enum damon_region_fault { REGION_RIGHT, REGION_EMPTY, REGION_OVERLAPS, REGION_UNALIGNED };

/* The first fault of a target's regions, and *at which of them. unit: a power of two that bounds are multiples of. */
EXPORT uint32_t damon_check_regions(const struct damon_region *regions, uint32_t nr, uint64_t unit, uint32_t *at)
{
	uint64_t last_end = 0;

	for (uint32_t i = 0; i < nr; i++) {
		const struct damon_region *r = &regions[i];

		*at = i;
		if (r->start >= r->end)
			return REGION_EMPTY;
		if (r->start < last_end)
			return REGION_OVERLAPS;
		if ((r->start | r->end) & (unit - 1))
			return REGION_UNALIGNED;
		last_end = r->end;
	}
	return REGION_RIGHT;
}

/* How many rows damon_split_to_limit() needs. */
EXPORT uint64_t damon_nr_split_to_limit(const struct damon_region *regions, uint32_t nr, uint64_t limit)
{
	uint64_t rows = 0;

	for (uint32_t i = 0; i < nr; i++) {
		uint64_t sz = damon_region_sz(&regions[i]);

		rows += sz <= limit ? sz != 0 : sz / limit + !!(sz % limit);
	}
	return rows;
}

/* Cut every region longer than limit into pieces of limit from its front; room for rows rows in all. */
EXPORT void damon_split_to_limit(struct damon_region *regions, uint32_t nr, uint64_t limit, uint64_t rows)
{
	struct damon_region *old = regions + (rows - nr);
	uint64_t out = 0;

	memmove(old, regions, nr * sizeof(*regions));
	for (uint32_t i = 0; i < nr; i++) {
		struct damon_region r = old[i];

		while (damon_region_sz(&r) > limit)
			cut_front(&r, limit, &regions[out++]);
		regions[out++] = r;
	}
}
