// SPDX-License-Identifier: GPL-2.0-only
/* What an aggregation has found, as words: the same as damon/core/results.py keeps at all other aggregations. */
#include <string.h>

#include "results.h"

static uint64_t *keep_scheme(uint64_t *to, const struct damos_quiet *s)
{
	to[SCHEME_NR_TRIED] = s->nr_tried;
	to[SCHEME_SZ_TRIED] = s->sz_tried;
	to[SCHEME_NR_APPLIED] = s->nr_applied;
	to[SCHEME_SZ_APPLIED] = s->sz_applied;
	to[SCHEME_SZ_OPS_FILTER_PASSED] = s->sz_ops_filter_passed;
	to[SCHEME_QT_EXCEEDS] = s->qt_exceeds;
	to[SCHEME_NR_SNAPSHOTS] = s->nr_snapshots;
	to[SCHEME_ESZ] = s->esz;
	to[SCHEME_CHARGED_SZ] = s->charged_sz;
	to[SCHEME_MIN_SCORE] = s->spec.min_score;
	to[SCHEME_ACTIVE] = 1;
	return to + RESULT_SCHEME_WORDS;
}

static uint64_t *keep_regions(uint64_t *to, const struct damon_sampled *target)
{
	for (uint64_t i = 0; i < target->nr; i++) {
		const struct damon_region *r = &target->regions[i];

		*to++ = r->start;
		*to++ = r->end;
		*to++ = r->nr_accesses;
		*to++ = r->age;
	}
	return to;
}

static uint64_t accessed_bytes(const struct damon_sampled *target)
{
	uint64_t bytes = 0;

	for (uint64_t i = 0; i < target->nr; i++)
		if (target->regions[i].nr_accesses)
			bytes += damon_region_sz(&target->regions[i]);
	return bytes;
}

static uint64_t *keep_words(uint64_t *to, const struct damon_results *results)
{
	for (uint64_t i = 0; i < results->nr_beside; i++) {
		memcpy(to, results->beside[i].at, results->beside[i].nr * sizeof(*to));
		to += results->beside[i].nr;
	}
	return to;
}

/* Words of a result with so many regions. */
static uint64_t length_of(const struct damon_results *results, const struct damon_quiet *q, uint32_t nr_targets,
			  uint64_t nr)
{
	uint64_t length = RESULT_HEAD + q->nr_schemes * RESULT_SCHEME_WORDS + nr_targets;

	for (uint64_t i = 0; i < results->nr_beside; i++)
		length += results->beside[i].nr;
	return length + (results->regions ? 4 * nr : 0);
}

int damon_results_keep(struct damon_results *results, const struct damon_quiet *q, const struct damon_sampled *targets,
		       uint32_t nr_targets, uint64_t addr_unit, int64_t now)
{
	uint64_t nr = 0, accessed = 0, length, *head = results->words + results->used, *to = head + RESULT_HEAD;

	if (now < results->next)
		return 1;
	for (uint32_t n = 0; n < nr_targets; n++) {
		nr += targets[n].nr;
		accessed += accessed_bytes(&targets[n]) * addr_unit;
	}
	length = length_of(results, q, nr_targets, nr);
	if (length > results->capacity - results->used)
		return 0;
	head[RESULT_LENGTH] = length;
	head[RESULT_TIME] = (uint64_t)now;
	head[RESULT_PASSED] = results->last = q->passed;
	head[RESULT_SAMPLE_US] = results->sample_us;
	head[RESULT_AGGR_US] = results->aggr_us;
	head[RESULT_MAX_NR_ACCESSES] = results->max_nr_accesses;
	head[RESULT_NR_REGIONS] = nr;
	head[RESULT_ACCESSED] = accessed;
	head[RESULT_NR_SCHEMES] = q->nr_schemes;
	head[RESULT_NR_TARGETS] = nr_targets;
	for (uint64_t i = 0; i < q->nr_schemes; i++)
		to = keep_scheme(to, &q->schemes[i]);
	for (uint32_t n = 0; n < nr_targets; n++)
		*to++ = results->regions ? targets[n].nr : 0;
	for (uint32_t n = 0; results->regions && n < nr_targets; n++)
		to = keep_regions(to, &targets[n]);
	keep_words(to, results);
	results->used += length;
	results->next = results->every ? (now / results->every + 1) * results->every : 0;
	return 1;
}

/* Do two lists of regions, START, END, NR_ACCESSES, AGE each, lie in the same ranges? */
static int same_ranges(const uint64_t *a, uint64_t nr_a, const uint64_t *b, uint64_t nr_b)
{
	uint64_t i = 0, j = 0;

	while (i < nr_a && j < nr_b) {
		if (a[4 * i] != b[4 * j])
			return 0;
		while (i + 1 < nr_a && a[4 * i + 1] == a[4 * i + 4])
			i++;
		while (j + 1 < nr_b && b[4 * j + 1] == b[4 * j + 4])
			j++;
		if (a[4 * i++ + 1] != b[4 * j++ + 1])
			return 0;
	}
	return i == nr_a && j == nr_b;
}

/*
 * The regions of now that are not those of before, but for being so much older; to out, which has room for all. The
 * number of them; UINT64_MAX: they lie in other ranges.
 */
EXPORT uint64_t damon_regions_new(const uint64_t *before, uint64_t nr_before, const uint64_t *now, uint64_t nr_now,
				  uint64_t older, uint64_t *out)
{
	uint64_t nr = 0, j = 0;

	if (!same_ranges(before, nr_before, now, nr_now))
		return UINT64_MAX;
	for (uint64_t i = 0; i < nr_now; i++) {
		const uint64_t *r = &now[4 * i], *was;

		while (j < nr_before && before[4 * j] < r[0])
			j++;
		was = &before[4 * j];
		if (j < nr_before && was[0] == r[0] && was[1] == r[1] && was[2] == r[2] && was[3] + older == r[3])
			continue;
		memcpy(&out[4 * nr++], r, 4 * sizeof(*r));
	}
	return nr;
}

/*
 * Columns of many results, nr of them and stride words from one to the next: out[i] := the sum of their words at
 * at[0..nr_at), times factor, divided by divisor.
 */
EXPORT void damon_words_sum(const uint64_t *words, uint64_t nr, uint64_t stride, const uint64_t *at, uint64_t nr_at,
			    uint64_t factor, uint64_t divisor, uint64_t *out)
{
	for (uint64_t i = 0; i < nr; i++) {
		uint64_t sum = 0;

		for (uint64_t k = 0; k < nr_at; k++)
			sum += words[i * stride + at[k]];
		out[i] = sum * factor / divisor;
	}
}
