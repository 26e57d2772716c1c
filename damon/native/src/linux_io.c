// SPDX-License-Identifier: GPL-2.0-only
/* Arrays of u64 that the kernel shows as files, read and written with as few system calls as pays. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "linux.h"

/* sysfs moves at most a page a call; for the proc files it bounds the buffer. */
#define CHUNK 512
/* An LRU folio has at most 2^13 pages (arm64 with 64 KiB pages); x86-64 stops at 2^9. */
#define MAX_ORDER 13

void *lx_reserve(struct lx_buf *buf, size_t size)
{
	if (size > buf->size) {
		size_t new_size = size > 2 * buf->size ? size : 2 * buf->size;

		free(buf->rows);
		buf->rows = malloc(new_size);
		buf->size = buf->rows ? new_size : 0;
	}
	return buf->rows;
}

static void insertion_sort(struct lx_key *keys, size_t nr)
{
	for (size_t i = 1; i < nr; i++) {
		struct lx_key k = keys[i];
		size_t j = i;

		for (; j && keys[j - 1].key > k.key; j--)
			keys[j] = keys[j - 1];
		keys[j] = k;
	}
}

void lx_sort(struct lx_key *keys, struct lx_key *scratch, size_t nr)
{
	struct lx_key *from = keys, *to = scratch;
	uint64_t differ = 0;
	size_t i;

	for (i = 1; i < nr && keys[i - 1].key <= keys[i].key; i++)
		;
	if (i >= nr) /* regions are in address order already */
		return;
	if (nr <= 32) {
		insertion_sort(keys, nr);
		return;
	}
	for (i = 1; i < nr; i++)
		differ |= keys[i].key ^ keys[0].key;
	for (int shift = 0; shift < 64; shift += 8) {
		size_t start[256] = { 0 }, sum = 0;

		if (!(differ >> shift & 0xff))
			continue;
		for (i = 0; i < nr; i++)
			start[from[i].key >> shift & 0xff]++;
		for (int digit = 0; digit < 256; digit++) {
			size_t count = start[digit];

			start[digit] = sum;
			sum += count;
		}
		for (i = 0; i < nr; i++)
			to[start[from[i].key >> shift & 0xff]++] = from[i];
		struct lx_key *swap = from;
		from = to;
		to = swap;
	}
	if (from != keys)
		memcpy(keys, from, nr * sizeof(*keys));
}

/* How many of nr values there are from first on; -1: they cannot be read. */
static ssize_t read_values(struct lx_files *files, enum lx_call call, int fd, uint64_t first, uint64_t *out, size_t nr)
{
	ssize_t got;

	if (first > (uint64_t)INT64_MAX / 8 - nr)
		return 0;
	do {
		lx_count(files, call);
		got = pread(fd, out, nr * 8, (off_t)(first * 8));
	} while (got < 0 && errno == EINTR);
	return got < 0 ? -1 : got / 8;
}

size_t lx_read(struct lx_files *files, enum lx_call call, int fd, uint64_t first, uint64_t *out, size_t nr)
{
	ssize_t got = read_values(files, call, fd, first, out, nr);

	return got < 0 ? 0 : (size_t)got;
}

size_t lx_gather(struct lx_files *files, enum lx_call call, int fd, const struct lx_key *keys, size_t nr, uint32_t gap,
		 uint64_t *out)
{
	uint64_t buf[CHUNK];
	size_t found = 0;

	for (size_t i = 0; i < nr;) {
		uint64_t first = keys[i].key, last = first;
		size_t end = i + 1, got;

		while (end < nr && keys[end].key - last <= (uint64_t)gap + 1 && keys[end].key - first < CHUNK)
			last = keys[end++].key;
		got = lx_read(files, call, fd, first, buf, last - first + 1);
		for (; i < end; i++) {
			int there = keys[i].key - first < got;

			out[i] = there ? buf[keys[i].key - first] : 0;
			found += there;
		}
	}
	return found;
}

/*
 * Compound pages are aligned to their size, so the head is the first page without the tail flag among pfn with its
 * lowest 1, 2, 3 ... bits cleared: a few single reads in place of up to 511 entries.
 */
void lx_find_head(struct lx_files *files, uint64_t pfn, struct lx_head *head)
{
	struct lx_head before = *head;
	uint64_t candidate = pfn, last = pfn;

	*head = (struct lx_head){ LX_NO_PFN, 0, pfn };
	for (int order = 1; order <= MAX_ORDER; order++, last = candidate) {
		uint64_t flags;

		candidate = pfn >> order << order;
		if (candidate == last)
			continue;
		if (before.pfn != LX_NO_PFN && candidate >= before.pfn && candidate <= before.known) {
			head->pfn = before.pfn;
			head->flags = before.flags;
			return;
		}
		if (!lx_read(files, LX_READ_KPAGEFLAGS, files->kpageflags, candidate, &flags, 1))
			return;
		if (flags & KPF_COMPOUND_TAIL)
			continue;
		if (flags & KPF_COMPOUND_HEAD) {
			head->pfn = candidate;
			head->flags = flags;
		}
		return;
	}
}

void lx_bits_set(struct lx_files *files, const struct lx_key *pfns, size_t nr)
{
	uint64_t words[CHUNK];

	for (size_t i = 0; i < nr;) {
		uint64_t first = pfns[i].key >> 6, last = first;

		words[0] = 0;
		for (; i < nr; i++) {
			uint64_t word = pfns[i].key >> 6;

			if (word - last > (uint64_t)files->gap_write + 1 || word - first >= CHUNK)
				break;
			while (last < word) /* zero bits change nothing in the kernel */
				words[++last - first] = 0;
			words[word - first] |= 1ull << (pfns[i].key & 63);
		}
		do { /* ENXIO beyond the last page frame: nothing there to make old */
			lx_count(files, LX_WRITE_BITMAP);
		} while (pwrite(files->bitmap, words, (last - first + 1) * 8, (off_t)(first * 8)) < 0 &&
			 errno == EINTR);
	}
}

/* What the bitmap does not show is a flag of the page, too. */
static uint8_t flagged_idle(struct lx_files *files, uint64_t pfn, uint8_t unreadable)
{
	uint64_t flags;

	if (!lx_read(files, LX_READ_KPAGEFLAGS, files->kpageflags, pfn, &flags, 1))
		return unreadable;
	return (flags & KPF_IDLE) != 0;
}

/*
 * Each word read makes the kernel walk the reverse mappings of its idle pages: only words that are asked for, and
 * one call only for adjacent ones. Where memory ends within a word, the kernel does the walk for it, and shows the
 * words before it only.
 */
void lx_bits_get(struct lx_files *files, const struct lx_key *pfns, size_t nr, uint8_t *idle, uint8_t unreadable)
{
	uint64_t words[CHUNK];

	for (size_t i = 0; i < nr;) {
		uint64_t first = pfns[i].key >> 6, last = first;
		size_t end = i + 1;
		ssize_t got;

		while (end < nr && (pfns[end].key >> 6) - last <= 1 && (pfns[end].key >> 6) - first < CHUNK)
			last = pfns[end++].key >> 6;
		got = read_values(files, LX_READ_BITMAP, files->bitmap, first, words, last - first + 1);
		for (; i < end; i++) {
			uint64_t at = (pfns[i].key >> 6) - first;

			if (got < 0)
				idle[i] = unreadable;
			else if (at < (uint64_t)got)
				idle[i] = words[at] >> (pfns[i].key & 63) & 1;
			else
				idle[i] = flagged_idle(files, pfns[i].key, unreadable);
		}
	}
}
