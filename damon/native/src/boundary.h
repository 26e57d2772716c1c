/* SPDX-License-Identifier: GPL-2.0-only */
/* The end of an aggregation interval in which schemes find nothing to act on; twins in damon/core/quiet.py. */
#ifndef PYDAMON_BOUNDARY_H
#define PYDAMON_BOUNDARY_H

#include "damos.h"
#include "sample.h"

enum damon_stage { STAGE_SAMPLED, STAGE_MERGED, STAGE_APPLIED };

/* One scheme. It is active, without core filters and without a limit of snapshots. */
struct damos_quiet {
	struct damos_spec spec;
	uint32_t limited; /* has a quota */
	uint32_t scored; /* ... whose min_score is found at each pass */
	uint32_t acts; /* C may try empty memory, and begin windows: an attempt does nothing and takes no time */
	uint32_t ages; /* an attempt makes a region young */
	/* of the quota: what the user has set, then what is kept from pass to pass; times are in ticks */
	uint64_t ms, sz, window_ticks;
	uint64_t esz, charged_sz, charged_from, total_charged_sz, total_charged_ns;
	uint64_t resumes, resume_target, resume_addr; /* where the next window goes on; the number of a target */
	uint64_t next_apply, apply_samples;
	uint64_t nr_tried, sz_tried, qt_exceeds, nr_snapshots;
	uint64_t nr_applied, sz_applied, sz_ops_filter_passed; /* nothing here changes these */
	uint64_t position; /* scratch: its number in the context */
};

struct damon_results;

struct damon_quiet {
	struct damon_boundary boundary; /* what the sampling loop calls */
	struct damos_quiet *schemes;
	struct damos_quiet *due; /* scratch for as many schemes */
	struct damos_spec *specs; /* the same */
	uint64_t nr_schemes;
	uint64_t acts; /* nobody listens to what a scheme does */
	uint64_t passed, next_aggregation, next_ops_update, aggr_samples;
	uint64_t min_region_sz, min_nr_regions, max_nr_regions, sz_limit, max_threshold;
	uint64_t last_nr_regions, rotation; /* of splitting */
	uint64_t tick_ns, first_tick;
	struct damos_rates rates;
	struct damon_results *results; /* where results are kept; NULL: nowhere */
	uint64_t done; /* boundaries that were all done here */
	uint64_t stage; /* how far the one at hand has come */
};

/* quiet_pass.c */
int damos_quiet_pass(struct damon_quiet *q, struct damon_sampled *targets, uint32_t nr_targets, uint64_t addr_unit,
		     int64_t now, uint64_t sz_limit, int acts);

#endif
