/* SPDX-License-Identifier: GPL-2.0-only */
/* Results of aggregation intervals, kept as words until somebody reads them; twins in damon/core/results.py. */
#ifndef PYDAMON_RESULTS_H
#define PYDAMON_RESULTS_H

#include "boundary.h"

/* Words that are kept beside each result, such as counters of the machine. */
struct damon_words {
	const uint64_t *at;
	uint64_t nr;
};

struct damon_results {
	uint64_t *words;
	uint64_t capacity, used;
	const struct damon_words *beside;
	uint64_t nr_beside;
	int64_t every, next; /* ns between results at least; the time of the next one */
	uint64_t regions; /* are the regions kept? */
	uint64_t last; /* sampling intervals that had passed at the last one */
	uint64_t sample_us, aggr_us, max_nr_accesses;
	uint64_t *acts; /* RESULT_ACT_WORDS for each attempt of a scheme; NULL: they are not kept */
	uint64_t act_capacity, act_used;
};

enum damon_result_act {
	ACT_TIME,
	ACT_SCHEME,
	ACT_TARGET,
	ACT_START,
	ACT_END,
	ACT_APPLIED, /* bytes */
	RESULT_ACT_WORDS,
};

/* The words that a result begins with; regions follow, START, END, NR_ACCESSES, AGE each, then the words beside. */
enum damon_result_word {
	RESULT_LENGTH,
	RESULT_TIME,
	RESULT_PASSED,
	RESULT_SAMPLE_US,
	RESULT_AGGR_US,
	RESULT_MAX_NR_ACCESSES,
	RESULT_NR_REGIONS,
	RESULT_ACCESSED, /* bytes in regions with accesses */
	RESULT_NR_SCHEMES, /* RESULT_SCHEME_WORDS for each, below */
	RESULT_NR_TARGETS, /* then the number of regions that are kept of each */
	RESULT_HEAD,
};

enum damon_result_scheme {
	SCHEME_NR_TRIED,
	SCHEME_SZ_TRIED,
	SCHEME_NR_APPLIED,
	SCHEME_SZ_APPLIED,
	SCHEME_SZ_OPS_FILTER_PASSED,
	SCHEME_QT_EXCEEDS,
	SCHEME_NR_SNAPSHOTS,
	SCHEME_ESZ,
	SCHEME_CHARGED_SZ,
	SCHEME_MIN_SCORE,
	SCHEME_ACTIVE,
	RESULT_SCHEME_WORDS,
};

/* Keep a result; 0: there is no room for it. */
int damon_results_keep(struct damon_results *results, const struct damon_quiet *q, const struct damon_sampled *targets,
		       uint32_t nr_targets, uint64_t addr_unit, int64_t now);

#endif
