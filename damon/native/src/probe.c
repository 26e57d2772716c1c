// SPDX-License-Identifier: GPL-2.0-only
/* Data-attribute probes on the sampled pages of one target. Twin: damon/ops/probes.py. */
#include "probe.h"

static uint32_t test(const struct damon_probe_filter *filter, const struct damon_folio *folio)
{
	if (!folio->nr_pages)
		return 0;
	switch (filter->type) {
	case PROBE_ANON:
		return (folio->flags & FOLIO_ANON) != 0;
	case PROBE_PGIDLE_UNSET:
		return (folio->flags & FOLIO_YOUNG) != 0;
	case PROBE_PGIDLE_SET:
		return !(folio->flags & FOLIO_YOUNG);
	case PROBE_HUGEPAGE_SIZE:
		return filter->min <= folio->nr_pages * 4096ull && folio->nr_pages * 4096ull <= filter->max;
	default:
		return folio->memcg && folio->memcg == filter->memcg;
	}
}

/* Rows without a folio need not be asked whether they are young. */
EXPORT void damon_probe_begin(struct damon_folio *folios, uint32_t nr)
{
	for (uint32_t i = 0; i < nr; i++)
		folios[i].flags =
			folios[i].nr_pages ? folios[i].flags & ~(uint32_t)(FOLIO_YOUNG | FOLIO_DECIDED) : FOLIO_DECIDED;
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
