// SPDX-License-Identifier: GPL-2.0-only
/*
 * Schemes over the regions of one target: which to try next, priority scores. Twins: damon/core/damos_walk.py and
 * damon/core/damos.py (which to try), damon/core/priority.py (rates, patterns, scores).
 */
#include <string.h>

#include "damos.h"

static uint32_t moving_sum(const struct damon_region *r, uint32_t left_bp)
{
	if (left_bp == 10000)
		return r->last_nr_accesses;
	return r->nr_accesses + (uint32_t)((uint64_t)r->last_nr_accesses * left_bp / 10000);
}

EXPORT uint32_t damon_nr_accesses_mvsum(const struct damon_region *r, uint32_t left_bp)
{
	return moving_sum(r, left_bp);
}

static int64_t hot_score(uint32_t nr_accesses, uint32_t age, uint32_t weight_nr_accesses, uint32_t weight_age,
			 const struct damos_rates *rates)
{
	int64_t freq = nr_accesses ? (int64_t)nr_accesses * 100 / rates->max_nr_accesses : 0;
	uint64_t age_in_sec = rates->aggr_us >> 32 ? (uint64_t)((unsigned __int128)age * rates->aggr_us / 1000000) :
						     age * rates->aggr_us / 1000000;
	int64_t log = age_in_sec ? 64 - __builtin_clzll(age_in_sec) : 0, subscore, hotness;
	uint64_t weights = (uint64_t)weight_nr_accesses + weight_age;

	if (log > 32)
		log = 32;
	if (!freq)
		log = -log;
	subscore = (log + 32) * 100 / 32 / 2;
	hotness = weight_nr_accesses * freq + weight_age * subscore;
	if (weights > 1)
		hotness /= (int64_t)weights;
	hotness = hotness * 99 / 100;
	return hotness < 0 ? 0 : hotness > 99 ? 99 : hotness;
}

EXPORT uint32_t damon_hot_score(uint32_t nr_accesses, uint32_t age, uint32_t weight_nr_accesses, uint32_t weight_age,
				uint64_t aggr_us, uint32_t max_nr_accesses)
{
	struct damos_rates rates = { aggr_us, 0, max_nr_accesses };

	return (uint32_t)hot_score(nr_accesses, age, weight_nr_accesses, weight_age, &rates);
}

static uint32_t score_of(const struct damos_spec *s, uint32_t v, uint32_t age, const struct damos_rates *rates)
{
	if (s->score == SCORE_HOT)
		return (uint32_t)hot_score(v, age, s->weight_nr_accesses, s->weight_age, rates);
	if (s->score == SCORE_COLD)
		return 99 - (uint32_t)hot_score(v, age, s->weight_nr_accesses, s->weight_age, rates);
	return 99;
}

static int matches(const struct damos_spec *s, const struct damon_region *r, uint32_t v)
{
	uint64_t sz = damon_region_sz(r);

	return s->min_sz <= sz && sz <= s->max_sz && s->min_nr_accesses <= v && v <= s->max_nr_accesses &&
	       s->min_age <= r->age && r->age <= s->max_age;
}

static inline int interesting(const struct damos_spec *s, const struct damon_region *r, const struct damos_rates *rates)
{
	uint32_t v;

	if (!s->wants)
		return 0;
	if (s->skip_below) {
		if (r->end <= s->skip_below)
			return 0;
		if (r->start < s->skip_below)
			return 1;
	}
	v = moving_sum(r, rates->left_bp);
	if (!matches(s, r, v))
		return 0;
	return !s->scored || s->score == SCORE_CUSTOM || score_of(s, v, r->age, rates) >= s->min_score;
}

static int same_slice(const struct damon_region *prev, const struct damon_region *r, uint64_t sz_limit)
{
	return prev->end == r->start && prev->age == r->age && prev->last_nr_accesses == r->last_nr_accesses &&
	       prev->nr_accesses == r->nr_accesses && damon_region_sz(prev) + damon_region_sz(r) <= sz_limit;
}

/*
 * The first region from index on that a scheme may try, or that is the target's last; *nr when there is none.
 * Regions passed on the way are merged back into their left neighbour where that changes nothing
 * (DAMON spec, damos 3), *nr shrinks accordingly.
 */
EXPORT uint32_t damos_next_region(struct damon_region *regions, uint32_t *nr, uint32_t index,
				  const struct damos_spec *specs, uint32_t nr_specs, const struct damos_rates *rates,
				  uint64_t sz_limit)
{
	uint32_t n = *nr, read = index, write = index;

	for (; read < n; read++) {
		const struct damon_region *r = &regions[read];
		int stop = read == n - 1;

		for (uint32_t i = 0; i < nr_specs && !stop; i++)
			stop = interesting(&specs[i], r, rates);
		if (stop)
			break;
		if (write && same_slice(&regions[write - 1], r, sz_limit)) {
			regions[write - 1].end = r->end;
			continue;
		}
		if (write != read)
			regions[write] = *r;
		write++;
	}
	if (write != read) {
		memmove(&regions[write], &regions[read], (n - read) * sizeof(*regions));
		*nr = n - (read - write);
	}
	return write;
}

/* The same after region index was tried, which is merged back first. */
EXPORT uint32_t damos_next_after(struct damon_region *regions, uint32_t *nr, uint32_t index,
				 const struct damos_spec *specs, uint32_t nr_specs, const struct damos_rates *rates,
				 uint64_t sz_limit)
{
	if (index >= *nr) /* the user's own code took it away */
		return index;
	if (index && same_slice(&regions[index - 1], &regions[index], sz_limit)) {
		regions[index - 1].end = regions[index].end;
		memmove(&regions[index], &regions[index + 1], (*nr - index - 1) * sizeof(*regions));
		--*nr;
	} else {
		index++;
	}
	return damos_next_region(regions, nr, index, specs, nr_specs, rates, sz_limit);
}

/*
 * Region index, whose front pieces of step bytes a scheme takes and its core filters reject, one after the other: the
 * pieces are cut off and merged back, as far as more than one of them is left. What remains is not looked at yet: the
 * index of it. There is room for all pieces that stay apart.
 */
EXPORT uint32_t damos_skip_rejected(struct damon_region *regions, uint32_t *nr, uint32_t index,
				    const struct damos_spec *spec, const struct damos_rates *rates, uint64_t step,
				    uint64_t sz_limit)
{
	struct damon_region piece;

	while (damon_region_sz(&regions[index]) > step && interesting(spec, &regions[index], rates)) {
		piece = regions[index];
		piece.end = piece.start + step;
		if (index && same_slice(&regions[index - 1], &piece, sz_limit)) {
			regions[index - 1].end = piece.end;
		} else {
			memmove(&regions[index + 1], &regions[index], (*nr - index) * sizeof(*regions));
			regions[index++] = piece;
			++*nr;
		}
		regions[index].start = piece.end;
	}
	return index;
}

/* May a scheme have to try a region? */
int damos_wants(const struct damon_region *r, const struct damos_spec *spec, const struct damos_rates *rates)
{
	return interesting(spec, r, rates);
}

/* The lowest score that still gets a share of esz bytes when the highest, up to score, go first. */
EXPORT uint32_t damos_min_score(const uint64_t *histogram, uint32_t score, uint64_t esz)
{
	uint64_t sum = 0;

	for (; score; score--)
		if (__builtin_add_overflow(sum, histogram[score], &sum) || sum >= esz)
			break;
	return score;
}

/* Add the sizes of the matching regions to their scores' buckets; the highest score seen so far. */
EXPORT uint32_t damos_score_histogram(const struct damon_region *regions, uint32_t nr, const struct damos_spec *spec,
				      const struct damos_rates *rates, uint64_t *histogram, uint32_t max_score)
{
	for (uint32_t i = 0; i < nr; i++) {
		const struct damon_region *r = &regions[i];
		uint32_t v = moving_sum(r, rates->left_bp), score;

		if (!matches(spec, r, v))
			continue;
		score = score_of(spec, v, r->age, rates);
		histogram[score] += damon_region_sz(r);
		if (score > max_score)
			max_score = score;
	}
	return max_score;
}
