/* SPDX-License-Identifier: GPL-2.0-only */
/* Records of damos.c that Python fills in; twins in damon/core/priority.py. */
#ifndef PYDAMON_DAMOS_H
#define PYDAMON_DAMOS_H

#include "damon.h"

enum damos_score { SCORE_MAX, SCORE_HOT, SCORE_COLD, SCORE_CUSTOM };

/* What one scheme wants, for one target, as long as no region has been tried. */
struct damos_spec {
	uint64_t min_sz, max_sz;
	uint64_t skip_below; /* charge resume: regions that end at or below are skipped */
	uint32_t min_nr_accesses, max_nr_accesses, min_age, max_age;
	uint32_t wants; /* 0: not due, not active, quota full, or resuming in another target */
	uint32_t scored; /* a region must reach min_score */
	uint32_t score; /* enum damos_score */
	uint32_t min_score, weight_nr_accesses, weight_age;
};

/* What turns counters into rates, the same for all regions of one pass. */
struct damos_rates {
	uint64_t aggr_us;
	uint32_t left_bp; /* unfinished share of the aggregation, basis points */
	uint32_t max_nr_accesses;
};

/* damos.c */
int damos_wants(const struct damon_region *r, const struct damos_spec *spec, const struct damos_rates *rates);
uint32_t damos_next_region(struct damon_region *regions, uint32_t *nr, uint32_t index, const struct damos_spec *specs,
			   uint32_t nr_specs, const struct damos_rates *rates, uint64_t sz_limit);
uint32_t damos_next_after(struct damon_region *regions, uint32_t *nr, uint32_t index, const struct damos_spec *specs,
			  uint32_t nr_specs, const struct damos_rates *rates, uint64_t sz_limit);
uint32_t damos_min_score(const uint64_t *histogram, uint32_t score, uint64_t esz);
uint32_t damos_score_histogram(const struct damon_region *regions, uint32_t nr, const struct damos_spec *spec,
			       const struct damos_rates *rates, uint64_t *histogram, uint32_t max_score);

#endif
