// SPDX-License-Identifier: GPL-2.0-only
/* The folio behind each sampling address, from page flags. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "linux.h"

/* The heads of the folios on LRU lists among keys (page frames, ascending), with their flags; the number left. */
static size_t lru_heads(struct lx_files *files, struct lx_key *keys, size_t nr, uint64_t *flags)
{
	struct lx_head head = { LX_NO_PFN, 0, 0 };
	size_t left = 0;

	lx_gather(files, LX_READ_KPAGEFLAGS, files->kpageflags, keys, nr, files->gap_kpageflags, flags);
	for (size_t i = 0; i < nr; i++) {
		struct lx_key k = keys[i];
		uint64_t f = flags[i];

		if (f & KPF_FOREIGN)
			continue;
		if (f & KPF_COMPOUND_TAIL) {
			lx_find_head(files, k.key, &head);
			if (head.pfn == LX_NO_PFN)
				continue;
			k.key = head.pfn;
			f = head.flags;
		}
		if (!(f & KPF_LRU))
			continue;
		keys[left] = k;
		flags[left++] = f;
	}
	return left;
}

/* The pages of the folio that begins at pfn: a power of two, so the first power that is not in it. */
static uint32_t folio_pages(struct lx_files *files, uint64_t pfn)
{
	uint32_t nr = 1;
	uint64_t flags;

	while (nr < 1u << 30 && lx_read(files, LX_READ_KPAGEFLAGS, files->kpageflags, pfn + nr, &flags, 1) &&
	       flags & KPF_COMPOUND_TAIL)
		nr <<= 1;
	return nr;
}

/*
 * Row i: the folio at addrs[i], nr_pages 0 if there is none; else its pages if sizes is not 0, or 1. Which pages of it
 * are mapped is not looked at.
 */
EXPORT int linux_folios_at(struct lx_files *files, const uint64_t *addrs, uint32_t nr, int sizes,
			   struct damon_folio *out)
{
	struct lx_key *keys = calloc(nr ? 2 * (size_t)nr : 1, sizeof(*keys));
	uint64_t *words = calloc(nr ? 2 * (size_t)nr : 1, sizeof(*words));
	uint64_t *flags = words, *memcg = words + nr;
	size_t left;

	if (!keys || !words) {
		free(keys);
		free(words);
		return -ENOMEM;
	}
	memset(out, 0, nr * sizeof(*out));
	for (uint32_t i = 0; i < nr; i++)
		keys[i] = (struct lx_key){ addrs[i] >> LX_PAGE_SHIFT, i, 0 };
	lx_sort(keys, keys + nr, nr);
	left = lru_heads(files, keys, nr, flags);
	if (files->kpagecgroup >= 0)
		lx_gather(files, LX_READ_KPAGECGROUP, files->kpagecgroup, keys, left, files->gap_kpageflags, memcg);
	for (size_t i = 0; i < left; i++)
		out[keys[i].row] = (struct damon_folio){ .pfn = keys[i].key,
							 .memcg = memcg[i],
							 .nr_pages = sizes && flags[i] & KPF_COMPOUND_HEAD ?
									     folio_pages(files, keys[i].key) :
									     1,
							 .flags = lx_folio_flags(flags[i]),
							 .target_nid = -1 };
	free(keys);
	free(words);
	return 0;
}
