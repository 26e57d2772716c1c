/* SPDX-License-Identifier: GPL-2.0-only */
/* The end of an aggregation interval in which schemes leave every region alone; twins in damon/core/quiet.py. */
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
	uint32_t counts; /* a pass over a target's last region is counted */
	uint32_t reserved;
	uint64_t next_apply, apply_samples;
	uint64_t window_begin, window_end; /* of the quota, in ticks */
	uint64_t esz;
	uint64_t nr_snapshots; /* passes over a target's last region since Python asked */
};

struct damon_quiet {
	struct damon_boundary boundary; /* what the sampling loop calls */
	struct damos_quiet *schemes;
	uint64_t nr_schemes;
	uint64_t passed, next_aggregation, next_ops_update, aggr_samples;
	uint64_t min_region_sz, min_nr_regions, max_nr_regions, sz_limit, max_threshold;
	uint64_t last_nr_regions, rotation; /* of splitting */
	uint64_t tick_ns, first_tick;
	struct damos_rates rates;
	uint64_t done; /* boundaries that were all done here */
	uint64_t stage; /* how far the one at hand has come */
};

#endif
