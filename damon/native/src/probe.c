// SPDX-License-Identifier: GPL-2.0-only
/* Data-attribute probes on the sampled pages of one target. Twin: damon/ops/probes.py. */
#include "probe.h"

static uint32_t test(const struct damon_probe_filter *filter, const struct damon_folio *folio)
{
	if (!folio->nr_pages)
		return 0;
	if (filter->type == PROBE_ANON)
		return (folio->flags & FOLIO_ANON) != 0;
	return folio->memcg && folio->memcg == filter->memcg;
}

/*
 * Count the probes that each region's page (the folio in the same row, no pages: none there) passes. The highest
 * weighted sum of hits of all regions; 0 without weights.
 */
EXPORT uint32_t damon_apply_probes(struct damon_region *regions, uint32_t nr, const struct damon_folio *folios,
				   const struct damon_probe_filter *filters, uint32_t nr_filters, uint32_t nr_probes,
				   const uint32_t *weights)
{
	uint32_t max = 0;

	for (uint32_t i = 0; i < nr; i++) {
		struct damon_region *r = &regions[i];
		const struct damon_probe_filter *f = filters, *end = filters + nr_filters;

		for (uint32_t probe = 0; probe < nr_probes; probe++) {
			uint32_t pass = 1, decided = 0;

			for (; f < end && f->probe == probe; f++) {
				if (decided)
					continue;
				decided = test(f, &folios[i]) == f->matching;
				pass = decided ? f->allow : !f->allow;
			}
			r->probe_hits[probe] += (uint8_t)pass;
		}
		if (weights && damon_probe_hits_wsum(r->probe_hits, weights) > max)
			max = damon_probe_hits_wsum(r->probe_hits, weights);
	}
	return max;
}
