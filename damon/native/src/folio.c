// SPDX-License-Identifier: GPL-2.0-only
/* The filter stage of operations sets on a batch of folios. Twin: damon/ops/folio_filter.py. */
#include "damon.h"

enum folio_test { TEST_FLAG, TEST_NOT_FLAG, TEST_MEMCG, TEST_SIZE };

/* Forget earlier decisions. */
EXPORT void folio_filter_begin(struct damon_folio *folios, uint32_t nr)
{
	for (uint32_t i = 0; i < nr; i++)
		folios[i].flags &= ~(uint32_t)(FOLIO_YOUNG | FOLIO_DECIDED | FOLIO_PASS);
}

static int test(const struct damon_folio *f, int kind, uint64_t low, uint64_t high)
{
	switch (kind) {
	case TEST_FLAG:
		return (f->flags & low) != 0;
	case TEST_NOT_FLAG:
		return (f->flags & low) == 0;
	case TEST_MEMCG:
		return f->memcg && f->memcg == low;
	default:
		return low <= (uint64_t)f->nr_pages * 4096 && (uint64_t)f->nr_pages * 4096 <= high;
	}
}

/* Decide the still undecided folios that hit one filter. */
EXPORT void folio_filter_step(struct damon_folio *folios, uint32_t nr, int kind, uint64_t low, uint64_t high,
			      int matching, int allow)
{
	for (uint32_t i = 0; i < nr; i++) {
		struct damon_folio *f = &folios[i];

		if (f->flags & FOLIO_DECIDED || test(f, kind, low, high) != matching)
			continue;
		f->flags |= FOLIO_DECIDED | (allow ? FOLIO_PASS : 0);
	}
}

/* The bytes of folios that lie in [start, end). */
EXPORT uint64_t folio_bytes_within(const struct damon_folio *folios, uint32_t nr, uint64_t start, uint64_t end)
{
	uint64_t bytes = 0;

	for (uint32_t i = 0; i < nr; i++) {
		uint64_t first = folios[i].pfn * 4096, last = first + (uint64_t)folios[i].nr_pages * 4096;

		first = first > start ? first : start;
		last = last < end ? last : end;
		bytes += first < last ? last - first : 0;
	}
	return bytes;
}

/*
 * Where each folio goes: the destination in whose share of the weights its place in its mapping falls, -1 without
 * weights. One destination of weight 1 is it for all.
 */
EXPORT void folio_pick_dests(struct damon_folio *folios, uint32_t nr, const int32_t *nids, const uint32_t *weights,
			     uint32_t nr_dests)
{
	uint64_t sum = 0;

	for (uint32_t d = 0; d < nr_dests; d++)
		sum += weights[d];
	for (uint32_t i = 0; i < nr; i++) {
		uint64_t place = sum ? folios[i].ilx % sum : 0;
		uint32_t d = 0;

		while (sum && place >= weights[d])
			place -= weights[d++];
		folios[i].target_nid = sum ? nids[d] : -1;
	}
}

/* The undecided ones pass unless reject; the number of pages of all that pass. */
EXPORT uint64_t folio_filter_end(struct damon_folio *folios, uint32_t nr, int reject)
{
	uint64_t pages = 0;

	for (uint32_t i = 0; i < nr; i++) {
		struct damon_folio *f = &folios[i];

		if (!(f->flags & FOLIO_DECIDED) && !reject)
			f->flags |= FOLIO_PASS;
		if (f->flags & FOLIO_PASS)
			pages += f->nr_pages;
	}
	return pages;
}
