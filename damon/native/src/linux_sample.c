// SPDX-License-Identifier: GPL-2.0-only
/*
 * "Make old" and "is it young?" for the sampling addresses of one target in a batch.
 *
 * The idle bitmap answers for the head page of a folio on an LRU list only; any other page ignores a set bit and reads
 * as clear. So a clear bit means "accessed" only where the bit could be set, and while the page is still that page.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "linux.h"

/* What one batch remembers between "make old" and "is it young?". */
struct lx_sample {
	struct lx_buf pages_buf; /* struct lx_key: virtual page and row, in address order (vaddr) */
	struct lx_buf frames_buf; /* u64 a row: the page frame at "make old", LX_NO_PFN if none (vaddr) */
	struct lx_buf heads_buf; /* struct lx_key: head page frame made old, and row, ascending */
	struct lx_buf check_buf; /* struct lx_key: pages to look up again (vaddr) */
	struct lx_buf scratch, entries, bits;
	size_t nr, nr_heads;
};

EXPORT struct lx_sample *linux_sample_new(void)
{
	return calloc(1, sizeof(struct lx_sample));
}

EXPORT void linux_sample_free(struct lx_sample *s)
{
	if (!s)
		return;
	free(s->pages_buf.rows);
	free(s->frames_buf.rows);
	free(s->heads_buf.rows);
	free(s->check_buf.rows);
	free(s->scratch.rows);
	free(s->entries.rows);
	free(s->bits.rows);
	free(s);
}

static int reserve(struct lx_sample *s, size_t nr)
{
	s->nr = s->nr_heads = 0;
	nr = nr ? nr : 1;
	if (!lx_reserve(&s->pages_buf, nr * sizeof(struct lx_key)) || !lx_reserve(&s->frames_buf, nr * 8) ||
	    !lx_reserve(&s->heads_buf, nr * sizeof(struct lx_key)) ||
	    !lx_reserve(&s->check_buf, nr * sizeof(struct lx_key)) ||
	    !lx_reserve(&s->scratch, nr * sizeof(struct lx_key)) || !lx_reserve(&s->entries, nr * 8) ||
	    !lx_reserve(&s->bits, nr))
		return -ENOMEM;
	return 0;
}

/*
 * Page frames (ascending) become the heads of their folios, with the flags of these in entries. Holes, free pages and
 * the like are dropped; what is left stays in order. The number left.
 */
static size_t find_heads(struct lx_files *files, struct lx_sample *s, struct lx_key *keys, size_t nr)
{
	struct lx_head head = { LX_NO_PFN, 0, 0 };
	uint64_t *flags = s->entries.rows;
	size_t left = 0;

	lx_gather(files, LX_READ_KPAGEFLAGS, files->kpageflags, keys, nr, files->gap_kpageflags, flags);
	for (size_t i = 0; i < nr; i++) {
		struct lx_key k = keys[i];
		uint64_t f = flags[i];

		if (f & KPF_FOREIGN)
			continue;
		if (f & KPF_COMPOUND_HEAD) {
			head = (struct lx_head){ k.key, f, k.key };
		} else if (f & KPF_COMPOUND_TAIL) {
			lx_find_head(files, k.key, &head);
			if (head.pfn == LX_NO_PFN)
				continue;
			k.key = head.pfn;
			f = head.flags;
		}
		keys[left] = k;
		flags[left++] = f;
	}
	return left;
}

static void make_old(struct lx_files *files, struct lx_sample *s, size_t nr)
{
	struct lx_key *heads = s->heads_buf.rows;
	const uint64_t *flags = s->entries.rows;

	nr = find_heads(files, s, heads, nr);
	s->nr_heads = 0;
	for (size_t i = 0; i < nr; i++)
		if (flags[i] & KPF_LRU)
			heads[s->nr_heads++] = heads[i];
	lx_bits_set(files, heads, s->nr_heads);
}

/* Physical addresses. */
EXPORT int linux_mkold_phys(struct lx_files *files, struct lx_sample *s, const uint64_t *addrs, uint32_t nr)
{
	struct lx_key *heads;

	if (reserve(s, nr))
		return -ENOMEM;
	heads = s->heads_buf.rows;
	for (uint32_t i = 0; i < nr; i++)
		heads[i] = (struct lx_key){ addrs[i] >> LX_PAGE_SHIFT, i, 0 };
	lx_sort(heads, s->scratch.rows, nr);
	s->nr = nr;
	make_old(files, s, nr);
	return (int)s->nr_heads;
}

/* The heads whose bit is clear, in order, into scratch. */
static size_t not_idle(struct lx_files *files, struct lx_sample *s)
{
	const struct lx_key *heads = s->heads_buf.rows;
	struct lx_key *found = s->scratch.rows;
	uint8_t *idle = s->bits.rows;
	size_t nr = 0;

	lx_bits_get(files, heads, s->nr_heads, idle, 1);
	for (size_t i = 0; i < s->nr_heads; i++)
		if (!idle[i])
			found[nr++] = heads[i];
	return nr;
}

/* Of the heads in keys (ascending): out[row] := 1 if the page is still the head of an LRU folio. */
static void confirm(struct lx_files *files, struct lx_sample *s, const struct lx_key *keys, size_t nr, uint8_t *out)
{
	uint64_t *flags = s->entries.rows;

	lx_gather(files, LX_READ_KPAGEFLAGS, files->kpageflags, keys, nr, files->gap_kpageflags, flags);
	for (size_t i = 0; i < nr; i++)
		out[keys[i].row] = (flags[i] & (KPF_LRU | KPF_COMPOUND_TAIL)) == KPF_LRU;
}

EXPORT int linux_young_phys(struct lx_files *files, struct lx_sample *s, uint32_t nr, uint8_t *out)
{
	memset(out, 0, nr);
	if (s->nr != nr)
		return -EINVAL;
	confirm(files, s, s->scratch.rows, not_idle(files, s), out);
	return 0;
}

/* Virtual addresses of the process whose pagemap is fd. -ESRCH: its address space is gone (or was replaced by exec). */
EXPORT int linux_mkold_virt(struct lx_files *files, struct lx_sample *s, int fd, const uint64_t *addrs, uint32_t nr)
{
	struct lx_key *pages, *heads;
	uint64_t *entries, *frames;
	size_t left = 0;

	if (reserve(s, nr))
		return -ENOMEM;
	pages = s->pages_buf.rows;
	heads = s->heads_buf.rows;
	entries = s->entries.rows;
	frames = s->frames_buf.rows;
	for (uint32_t i = 0; i < nr; i++)
		pages[i] = (struct lx_key){ addrs[i] >> LX_PAGE_SHIFT, i, 0 };
	lx_sort(pages, s->scratch.rows, nr);
	if (!lx_gather(files, LX_READ_PAGEMAP, fd, pages, nr, files->gap_pagemap, entries) && nr)
		return -ESRCH;
	s->nr = nr;
	for (uint32_t i = 0; i < nr; i++) {
		uint64_t pfn = entries[i] & PM_PFN_MASK;

		if (!(entries[i] & PM_PRESENT) || !pfn) {
			frames[pages[i].row] = LX_NO_PFN;
			continue;
		}
		frames[pages[i].row] = pfn;
		heads[left++] = (struct lx_key){ pfn, pages[i].row, 0 };
	}
	lx_sort(heads, s->scratch.rows, left);
	make_old(files, s, left);
	return (int)s->nr_heads;
}

/*
 * Pages that came to their address after "make old" (page frames ascending): a fault brought them, or they migrated,
 * and the idle flag and the accessed bit move with a page. Accessed unless still idle. A page that waits in a per-CPU
 * batch for its LRU list has its idle flag only.
 */
static void newcomers(struct lx_files *files, struct lx_sample *s, struct lx_key *keys, size_t nr, uint8_t *out)
{
	const uint64_t *flags = s->entries.rows;
	uint8_t *idle = s->bits.rows;
	size_t left = 0;

	nr = find_heads(files, s, keys, nr);
	for (size_t i = 0; i < nr; i++) {
		if (flags[i] & KPF_LRU)
			keys[left++] = keys[i];
		else
			out[keys[i].row] = (flags[i] & (KPF_MMAP | KPF_IDLE)) == KPF_MMAP;
	}
	lx_bits_get(files, keys, left, idle, 1);
	for (size_t i = 0; i < left; i++)
		out[keys[i].row] = !idle[i];
}

EXPORT int linux_young_virt(struct lx_files *files, struct lx_sample *s, int fd, uint32_t nr, uint8_t *out)
{
	const struct lx_key *pages = s->pages_buf.rows;
	const uint64_t *frames = s->frames_buf.rows;
	struct lx_key *found = s->scratch.rows, *check, *fresh;
	uint64_t *entries = s->entries.rows;
	size_t nr_found, nr_check = 0, nr_same = 0, nr_fresh = 0;

	memset(out, 0, nr);
	if (s->nr != nr)
		return -EINVAL;
	nr_found = not_idle(files, s);
	for (size_t i = 0; i < nr_found; i++)
		out[found[i].row] = 1;
	/* Ask the page table again where the bit is clear, and where there was no page. */
	check = s->check_buf.rows;
	for (uint32_t i = 0; i < nr; i++)
		if (out[pages[i].row] || frames[pages[i].row] == LX_NO_PFN)
			check[nr_check++] = pages[i];
	lx_gather(files, LX_READ_PAGEMAP, fd, check, nr_check, files->gap_pagemap, entries);
	fresh = check;
	for (size_t i = 0; i < nr_check; i++) {
		uint32_t row = check[i].row;
		uint64_t pfn = entries[i] & PM_PFN_MASK;

		if (entries[i] & PM_PRESENT && pfn && pfn == frames[row])
			continue;
		out[row] = 0;
		if (entries[i] & PM_PRESENT && pfn)
			fresh[nr_fresh++] = (struct lx_key){ pfn, row, 0 };
	}
	for (size_t i = 0; i < nr_found; i++)
		if (out[found[i].row])
			found[nr_same++] = found[i];
	confirm(files, s, found, nr_same, out);
	lx_sort(fresh, found, nr_fresh);
	newcomers(files, s, fresh, nr_fresh, out);
	return 0;
}
