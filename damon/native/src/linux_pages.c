// SPDX-License-Identifier: GPL-2.0-only
/* Which pages an action concerns, which of them are where the reverse map says, which left. */
#include "linux.h"

/* 1 if the action concerns this folio: deactivation moves active ones only, activation the others. */
static int concerns(int action, const struct damon_folio *f)
{
	if (!(f->flags & FOLIO_PASS))
		return 0;
	if (action == LX_MIGRATE)
		return f->target_nid >= 0;
	if (action == LX_DEACTIVATE)
		return (f->flags & FOLIO_ACTIVE) != 0;
	return action == LX_PAGEOUT || !(f->flags & FOLIO_ACTIVE);
}

/* One page speaks for its folio. */
static int one_speaks(int action)
{
	return action == LX_ACTIVATE || action == LX_MIGRATE;
}

EXPORT size_t linux_rmap_lookup(const struct lx_rmap *rmap, const struct damon_folio *folios, uint32_t nr, int action,
				struct lx_key *out, size_t capacity, struct lx_result *result)
{
	size_t found = 0;

	for (uint32_t i = 0; i < nr; i++) {
		uint32_t pages = folios[i].nr_pages, mapped = 0;

		if (!concerns(action, &folios[i]))
			continue;
		if (action != LX_MIGRATE && folios[i].flags & FOLIO_UNEVICTABLE) {
			result->unevictable += one_speaks(action) ? 1 : pages;
			continue;
		}
		if (!(folios[i].flags & FOLIO_MAPPED)) {
			result->unmapped += one_speaks(action) ? 1 : pages;
			continue;
		}
		for (uint32_t page = 0; page < pages; page++) {
			uint64_t at = folios[i].pfn + page - rmap->first;
			uint64_t entry = at < rmap->nr ? rmap->entries[at] : 0;

			if (!entry)
				continue;
			mapped++;
			if (entry >> LX_VPN_BITS == 1) {
				result->own++;
				continue;
			}
			if (found < capacity)
				out[found++] = (struct lx_key){ entry, i, page };
			if (one_speaks(action))
				break;
		}
		result->wanted += one_speaks(action) || !mapped ? 1 : mapped;
		result->missing += !mapped;
	}
	return found;
}

/*
 * 1 if what several processes map is to be left alone: the kernel refuses advice on it, and a read of anonymous memory
 * from outside ends its sharing (FAULT_FLAG_UNSHARE): it makes a copy, and the page that was meant stays where it is.
 */
static int spares_shared(int action, const struct damon_folio *f)
{
	return action == LX_PAGEOUT || action == LX_DEACTIVATE || (action == LX_ACTIVATE && f->flags & FOLIO_ANON);
}

EXPORT size_t linux_verify(struct lx_files *files, int pagemap, const struct damon_folio *folios, struct lx_key *pages,
			   size_t nr, int action, uint64_t *entries, struct lx_result *result)
{
	size_t kept = 0;

	lx_gather(files, LX_READ_PAGEMAP, pagemap, pages, nr, files->gap_pagemap, entries);
	for (size_t i = 0; i < nr; i++) {
		if (!(entries[i] & PM_PRESENT) || (entries[i] & PM_PFN_MASK) != folios[pages[i].row].pfn + pages[i].aux)
			result->stale++;
		else if (!(entries[i] & PM_EXCLUSIVE) && spares_shared(action, &folios[pages[i].row]))
			result->shared++;
		else
			pages[kept++] = pages[i];
	}
	return kept;
}

/*
 * Of the pages that were at their address, those that left memory. Not there any more is not enough: reclaim unmaps
 * first, and a page that it could not write out stays in the page or swap cache. One that left may have another use by
 * now; zram's store, for one, leaves a page's flag that its content is valid since 7.x.
 */
EXPORT uint64_t linux_count_left(struct lx_files *files, int pagemap, const struct damon_folio *folios,
				 struct lx_key *pages, size_t nr, struct lx_key *scratch, uint64_t *entries)
{
	size_t gone = 0;
	uint64_t left = 0;

	if (!lx_gather(files, LX_READ_PAGEMAP, pagemap, pages, nr, files->gap_pagemap, entries))
		return 0; /* the process has just exited: not our doing */
	for (size_t i = 0; i < nr; i++)
		if (!(entries[i] & PM_PRESENT))
			pages[gone++] = (struct lx_key){ folios[pages[i].row].pfn + pages[i].aux, 0,
							 folios[pages[i].row].flags & FOLIO_ANON };
	lx_sort(pages, scratch, gone);
	lx_gather(files, LX_READ_KPAGEFLAGS, files->kpageflags, pages, gone, files->gap_kpageflags, entries);
	for (size_t i = 0; i < gone; i++) {
		uint64_t cached = KPF_LRU | KPF_SWAPCACHE | (pages[i].aux ? KPF_ANON : KPF_UPTODATE);

		left += entries[i] & KPF_MMAP /* somebody else's already */ || !(entries[i] & cached);
	}
	return left;
}

/* Pages of all passing folios. */
EXPORT uint64_t linux_passing_pages(const struct damon_folio *folios, uint32_t nr)
{
	uint64_t pages = 0;

	for (uint32_t i = 0; i < nr; i++)
		pages += folios[i].flags & FOLIO_PASS ? folios[i].nr_pages : 0;
	return pages;
}
