// SPDX-License-Identifier: GPL-2.0-only
/* Folios of a range of page frames, from page flags; their accessed state. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "linux.h"

#define CHUNK 4096

/* What one walk over a range carries from batch to batch. */
struct lx_walk {
	uint64_t next, end; /* page frames: the first not looked at, the end of the range */
	uint64_t first; /* page frame of flags[0] */
	size_t nr; /* entries in flags */
	uint64_t flags[CHUNK], memcg[CHUNK];
};

EXPORT struct lx_walk *linux_walk_new(struct lx_files *files, uint64_t start, uint64_t end)
{
	struct lx_walk *w = malloc(sizeof(*w));

	if (!w)
		return NULL;
	w->next = start;
	w->end = end;
	w->first = 0;
	w->nr = 0;
	if (start < end && lx_read(files, LX_READ_KPAGEFLAGS, files->kpageflags, start, w->flags, 1) &&
	    w->flags[0] & KPF_COMPOUND_TAIL && !(w->flags[0] & KPF_FOREIGN)) {
		struct lx_head head = { LX_NO_PFN, 0, 0 };

		lx_find_head(files, start, &head); /* a folio that reaches into the range belongs to it */
		if (head.pfn != LX_NO_PFN)
			w->next = head.pfn;
	}
	return w;
}

EXPORT void linux_walk_free(struct lx_walk *w)
{
	free(w);
}

/* The flags of pfn; 0 behind the last page frame. */
static int look(struct lx_files *files, struct lx_walk *w, uint64_t pfn, uint64_t *flags, uint64_t *memcg)
{
	if (pfn - w->first >= w->nr) {
		/* Enough to see the end of a huge page at the end of the range, and not much more. */
		uint64_t want = w->end > pfn ? w->end - pfn + 1 : 64;

		w->first = pfn;
		w->nr = lx_read(files, LX_READ_KPAGEFLAGS, files->kpageflags, pfn, w->flags,
				want < CHUNK ? want : CHUNK);
		if (!w->nr)
			return 0;
		memset(w->memcg, 0, w->nr * 8);
		if (files->kpagecgroup >= 0) {
			size_t low = 0, high = w->nr;

			while (low < high && !(w->flags[low] & KPF_LRU))
				low++;
			while (high > low && !(w->flags[high - 1] & KPF_LRU))
				high--;
			if (low < high)
				lx_read(files, LX_READ_KPAGECGROUP, files->kpagecgroup, pfn + low, w->memcg + low,
					high - low);
		}
	}
	*flags = w->flags[pfn - w->first];
	*memcg = w->memcg[pfn - w->first];
	return 1;
}

uint32_t lx_folio_flags(uint64_t flags)
{
	return (flags & KPF_ANON ? FOLIO_ANON : 0) | (flags & KPF_ACTIVE ? FOLIO_ACTIVE : 0) |
	       (flags & KPF_MMAP ? FOLIO_MAPPED : 0) | (flags & KPF_UNEVICTABLE ? FOLIO_UNEVICTABLE : 0);
}

/* The next folios of the walk, capacity at most; 0 at its end. */
EXPORT uint32_t linux_walk_next(struct lx_files *files, struct lx_walk *w, struct damon_folio *out, uint32_t capacity)
{
	uint32_t nr = 0;
	uint64_t flags, memcg;

	while (nr < capacity && w->next < w->end && look(files, w, w->next, &flags, &memcg)) {
		struct damon_folio folio = { .pfn = w->next++,
					     .memcg = memcg,
					     .nr_pages = 1,
					     .flags = lx_folio_flags(flags),
					     .target_nid = -1 };

		if (flags & KPF_COMPOUND_HEAD) {
			uint64_t tail_flags, ignored;

			while (look(files, w, w->next, &tail_flags, &ignored) && tail_flags & KPF_COMPOUND_TAIL) {
				/* The mapped flag is each page's own: a folio is mapped when any of its pages is. */
				folio.flags |= lx_folio_flags(tail_flags) & FOLIO_MAPPED;
				folio.nr_pages++;
				w->next++;
			}
		}
		if (flags & KPF_LRU && !(flags & (KPF_COMPOUND_TAIL | KPF_FOREIGN)))
			out[nr++] = folio;
	}
	return nr;
}

/* FOLIO_YOUNG := not idle, for the undecided ones. */
EXPORT int linux_folios_young(struct lx_files *files, struct damon_folio *folios, uint32_t nr)
{
	struct lx_key *keys = calloc(nr ? nr : 1, sizeof(*keys));
	uint8_t *idle = malloc(nr ? nr : 1);
	size_t left = 0;

	if (!keys || !idle) {
		free(keys);
		free(idle);
		return -ENOMEM;
	}
	for (uint32_t i = 0; i < nr; i++)
		if (!(folios[i].flags & FOLIO_DECIDED))
			keys[left++] = (struct lx_key){ folios[i].pfn, i, 0 };
	lx_bits_get(files, keys, left, idle, 0); /* in doubt, young: stays */
	for (size_t i = 0; i < left; i++) {
		struct damon_folio *f = &folios[keys[i].row];

		f->flags = idle[i] ? f->flags & ~(uint32_t)FOLIO_YOUNG : f->flags | FOLIO_YOUNG;
	}
	free(keys);
	free(idle);
	return 0;
}

/* Make old the undecided ones with FOLIO_YOUNG. */
EXPORT int linux_folios_mkold(struct lx_files *files, const struct damon_folio *folios, uint32_t nr)
{
	struct lx_key *keys = calloc(nr ? nr : 1, sizeof(*keys));
	size_t left = 0;

	if (!keys)
		return -ENOMEM;
	for (uint32_t i = 0; i < nr; i++)
		if ((folios[i].flags & (FOLIO_DECIDED | FOLIO_YOUNG)) == FOLIO_YOUNG)
			keys[left++] = (struct lx_key){ folios[i].pfn, i, 0 };
	lx_bits_set(files, keys, left);
	free(keys);
	return 0;
}
