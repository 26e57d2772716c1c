// SPDX-License-Identifier: GPL-2.0-only
/* The folios that a process maps in a range of addresses, by address. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "linux.h"

#define CHUNK 1024

/* A mapping in pages, and the page of its file (anonymous: of its address) that it begins with. */
struct mapping {
	uint64_t start, end, pgoff;
};

/* What the walk knows of one page of the chunk at hand. */
struct spot {
	uint64_t head, memcg;
	uint32_t nr_pages, flags; /* nr_pages 0: no folio */
};

struct lx_vwalk {
	uint64_t next, end; /* virtual pages */
	struct mapping *mappings;
	size_t nr, at;
	int pagemap;
	uint64_t last; /* head of the folio met last */
	uint64_t first; /* virtual page of spots[0] */
	size_t nr_spots;
	struct spot spots[CHUNK];
};

EXPORT struct lx_vwalk *linux_vwalk_new(struct lx_files *files, int dir, int pagemap, uint64_t start, uint64_t end)
{
	struct lx_vwalk *w = calloc(1, sizeof(*w));
	struct lx_buf text = { NULL, 0 };
	ssize_t length;

	if (!w)
		return NULL;
	w->next = start;
	w->end = end;
	w->pagemap = pagemap;
	w->last = LX_NO_PFN;
	length = lx_slurp(files, dir, "maps", &text);
	if (length > 0) {
		w->nr = linux_mappings_parse(text.rows, (size_t)length, NULL, 0);
		w->mappings = malloc((w->nr ? w->nr : 1) * sizeof(*w->mappings));
		if (w->mappings)
			linux_mappings_parse(text.rows, (size_t)length, (uint64_t *)w->mappings, w->nr);
		else
			w->nr = 0;
	}
	free(text.rows);
	return w;
}

EXPORT void linux_vwalk_free(struct lx_vwalk *w)
{
	if (w)
		free(w->mappings);
	free(w);
}

/* The number of pages of the folio at head. */
static uint32_t folio_pages(struct lx_files *files, uint64_t head)
{
	uint64_t flags[512], at = head + 1;

	for (;;) {
		size_t got =
			lx_read(files, LX_READ_KPAGEFLAGS, files->kpageflags, at, flags, at == head + 1 ? 511 : 512);

		for (size_t i = 0; i < got; i++)
			if (!(flags[i] & KPF_COMPOUND_TAIL))
				return (uint32_t)(at + i - head);
		at += got;
		if (!got)
			return (uint32_t)(at - head);
	}
}

/* Which folio is behind each present page of the chunk (keys: page frames in order, row: spot). */
static void resolve(struct lx_files *files, struct lx_vwalk *w, struct lx_key *keys, size_t nr)
{
	uint64_t flags[CHUNK], memcg[CHUNK];
	struct lx_head head = { LX_NO_PFN, 0, 0 };
	uint64_t sized = LX_NO_PFN;
	uint32_t size = 1;
	size_t left = 0;

	lx_gather(files, LX_READ_KPAGEFLAGS, files->kpageflags, keys, nr, files->gap_kpageflags, flags);
	for (size_t i = 0; i < nr; i++) {
		uint64_t pfn = keys[i].key, of = flags[i];

		if (of & KPF_FOREIGN)
			continue;
		if (of & KPF_COMPOUND_TAIL) {
			lx_find_head(files, pfn, &head);
			pfn = head.pfn;
			of = head.flags;
		}
		if (pfn == LX_NO_PFN || !(of & KPF_LRU) || of & (KPF_FOREIGN | KPF_COMPOUND_TAIL))
			continue;
		if (pfn != sized) {
			sized = pfn;
			size = of & KPF_COMPOUND_HEAD ? folio_pages(files, pfn) : 1;
		}
		w->spots[keys[i].row] = (struct spot){ pfn, 0, size, lx_folio_flags(of) | FOLIO_MAPPED };
		keys[left++] = (struct lx_key){ pfn, keys[i].row, 0 };
	}
	if (files->kpagecgroup < 0)
		return;
	lx_gather(files, LX_READ_KPAGECGROUP, files->kpagecgroup, keys, left, files->gap_kpageflags, memcg);
	for (size_t i = 0; i < left; i++)
		w->spots[keys[i].row].memcg = memcg[i];
}

/* Look at the next pages, of one mapping. 0 at the end of the walk. */
static int fill(struct lx_files *files, struct lx_vwalk *w)
{
	struct lx_key keys[CHUNK], scratch[CHUNK];
	uint64_t entries[CHUNK], stop;
	size_t want, got, nr = 0;

	while (w->at < w->nr && w->mappings[w->at].end <= w->next)
		w->at++;
	if (w->at == w->nr)
		return 0;
	if (w->next < w->mappings[w->at].start)
		w->next = w->mappings[w->at].start;
	if (w->next >= w->end)
		return 0;
	stop = w->mappings[w->at].end < w->end ? w->mappings[w->at].end : w->end;
	want = stop - w->next < CHUNK ? (size_t)(stop - w->next) : CHUNK;
	got = lx_read(files, LX_READ_PAGEMAP, w->pagemap, w->next, entries, want);
	w->first = w->next;
	w->nr_spots = got;
	memset(w->spots, 0, got * sizeof(*w->spots));
	for (size_t i = 0; i < got; i++)
		if (entries[i] & PM_PRESENT && entries[i] & PM_PFN_MASK)
			keys[nr++] = (struct lx_key){ entries[i] & PM_PFN_MASK, (uint32_t)i, 0 };
	lx_sort(keys, scratch, nr);
	resolve(files, w, keys, nr);
	return got != 0; /* a process that is gone reads as empty */
}

/* The next folios of the walk, capacity at most; 0 at its end. A folio that is met page after page comes once. */
EXPORT uint32_t linux_vwalk_next(struct lx_files *files, struct lx_vwalk *w, struct damon_folio *out, uint32_t capacity)
{
	uint32_t nr = 0;

	while (nr < capacity) {
		const struct mapping *m;
		const struct spot *s;
		int order;

		if (w->next >= w->end || (w->next - w->first >= w->nr_spots && !fill(files, w)))
			break;
		s = &w->spots[w->next - w->first];
		m = &w->mappings[w->at];
		if (s->nr_pages && s->head != w->last) {
			order = 31 - __builtin_clz(s->nr_pages);
			out[nr++] = (struct damon_folio){
				.pfn = s->head,
				.memcg = s->memcg,
				.addr = w->next << LX_PAGE_SHIFT,
				.ilx = (m->pgoff >> order) + ((w->next - m->start) >> order),
				.nr_pages = s->nr_pages,
				.flags = s->flags,
				.target_nid = -1,
			};
		}
		w->last = s->nr_pages ? s->head : LX_NO_PFN;
		w->next++;
	}
	return nr;
}
