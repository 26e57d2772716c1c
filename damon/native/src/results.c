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

int damon_results_keep(struct damon_results *results, const struct damon_quiet *q, const struct damon_sampled *targets,
		       uint32_t nr_targets, uint64_t addr_unit, int64_t now)
{
	uint64_t nr = 0, accessed = 0, length = RESULT_HEAD + q->nr_schemes * RESULT_SCHEME_WORDS + nr_targets;
	uint64_t *head, *to;

	if (now < results->next)
		return 1;
	for (uint32_t n = 0; n < nr_targets; n++) {
		nr += targets[n].nr;
		for (uint64_t i = 0; i < targets[n].nr; i++)
			if (targets[n].regions[i].nr_accesses)
				accessed += damon_region_sz(&targets[n].regions[i]) * addr_unit;
	}
	length += results->regions ? 4 * nr : 0;
	for (uint64_t i = 0; i < results->nr_beside; i++)
		length += results->beside[i].nr;
	if (length > results->capacity - results->used)
		return 0;
	head = results->words + results->used;
	head[RESULT_LENGTH] = length;
	head[RESULT_TIME] = (uint64_t)now;
	head[RESULT_PASSED] = q->passed;
	head[RESULT_SAMPLE_US] = results->sample_us;
	head[RESULT_AGGR_US] = results->aggr_us;
	head[RESULT_MAX_NR_ACCESSES] = results->max_nr_accesses;
	head[RESULT_NR_REGIONS] = nr;
	head[RESULT_ACCESSED] = accessed;
	head[RESULT_NR_SCHEMES] = q->nr_schemes;
	head[RESULT_NR_TARGETS] = nr_targets;
	to = head + RESULT_HEAD;
	for (uint64_t i = 0; i < q->nr_schemes; i++)
		to = keep_scheme(to, &q->schemes[i]);
	for (uint32_t n = 0; n < nr_targets; n++)
		*to++ = results->regions ? targets[n].nr : 0;
	for (uint32_t n = 0; results->regions && n < nr_targets; n++)
		to = keep_regions(to, &targets[n]);
	for (uint64_t i = 0; i < results->nr_beside; i++) {
		memcpy(to, results->beside[i].at, results->beside[i].nr * sizeof(*to));
		to += results->beside[i].nr;
	}
	results->used += length;
	results->last = q->passed;
	results->next = results->every ? (now / results->every + 1) * results->every : 0;
	return 1;
}
