/* SPDX-License-Identifier: GPL-2.0-only */
/* Records that Python and C share (their twins are in damon/model/arrays.py), and the shared generator. */
#ifndef PYDAMON_DAMON_H
#define PYDAMON_DAMON_H

#include <stdint.h>

#define EXPORT __attribute__((visibility("default")))
#define DAMON_MAX_PROBES 4

struct damon_region {
	uint64_t start, end, sampling_addr;
	uint32_t nr_accesses, last_nr_accesses, age;
	uint8_t probe_hits[DAMON_MAX_PROBES], last_probe_hits[DAMON_MAX_PROBES];
	uint32_t reserved;
};

enum damon_folio_flags {
	FOLIO_ANON = 1 << 0,
	FOLIO_ACTIVE = 1 << 1,
	FOLIO_MAPPED = 1 << 2,
	FOLIO_UNEVICTABLE = 1 << 3,
	FOLIO_YOUNG = 1 << 4,
	FOLIO_DECIDED = 1 << 16,
	FOLIO_PASS = 1 << 17,
};

struct damon_folio {
	uint64_t pfn, memcg, addr, ilx;
	uint32_t nr_pages, flags;
	int32_t target_nid;
	uint32_t reserved;
};

static inline uint64_t damon_region_sz(const struct damon_region *r)
{
	return r->end - r->start;
}

/* What regions are told apart by when only attributes are monitored; weights of all DAMON_MAX_PROBES probes. */
static inline uint32_t damon_probe_hits_wsum(const uint8_t *hits, const uint32_t *weights)
{
	uint32_t sum = 0;

	for (int i = 0; i < DAMON_MAX_PROBES; i++)
		sum += hits[i] * weights[i];
	return sum;
}

static inline uint64_t damon_mix64(uint64_t v)
{
	v = (v ^ (v >> 30)) * 0xBF58476D1CE4E5B9ull;
	v = (v ^ (v >> 27)) * 0x94D049BB133111EBull;
	return v ^ (v >> 31);
}

#define DAMON_RND_STEP 0x9E3779B97F4A7C15ull

static inline uint64_t damon_next(uint64_t *rnd)
{
	*rnd += DAMON_RND_STEP;
	return damon_mix64(*rnd);
}

/* region.c */
uint32_t damon_check_regions(const struct damon_region *regions, uint32_t nr, uint64_t unit, uint32_t *at);
uint32_t damon_merge_regions_of(struct damon_region *regions, uint32_t nr, uint32_t threshold, uint64_t sz_limit,
				int count_age, const uint32_t *weights);
uint64_t damon_total_size(const struct damon_region *regions, uint32_t nr);
uint64_t damon_nr_split_to_limit(const struct damon_region *regions, uint32_t nr, uint64_t limit);
void damon_split_to_limit(struct damon_region *regions, uint32_t nr, uint64_t limit, uint64_t rows);
void damon_reset_aggregated(struct damon_region *regions, uint32_t nr);
uint32_t damon_split_regions_of(struct damon_region *regions, uint32_t nr, uint32_t nr_subs, uint64_t min_sz,
				uint64_t *rnd);
uint32_t damon_split_some_regions_of(struct damon_region *regions, uint32_t nr, uint64_t first, uint64_t step,
				     uint64_t offset, uint64_t min_sz, uint64_t *rnd);

/* Uniform in [left, right). */
static inline uint64_t damon_rand(uint64_t *rnd, uint64_t left, uint64_t right)
{
	return left + (uint64_t)(((unsigned __int128)damon_next(rnd) * (right - left)) >> 64);
}

/* What damon_rand() would return after it has been called n times; rnd stays where it is. */
static inline uint64_t damon_rand_nth(uint64_t rnd, uint64_t n, uint64_t left, uint64_t right)
{
	rnd += n * DAMON_RND_STEP;
	return damon_rand(&rnd, left, right);
}

#endif
