/* SPDX-License-Identifier: GPL-2.0-only */
/* Shared by the linux*.c files: the open kernel files of a machine, counters, coalesced access to arrays of u64. */
#ifndef PYDAMON_LINUX_H
#define PYDAMON_LINUX_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "damon.h"

#define LX_PAGE_SHIFT 12
#define LX_PAGE_SIZE 4096ull
#define LX_NO_PFN UINT64_MAX

/* One bit each of an entry of /proc/kpageflags (include/uapi/linux/kernel-page-flags.h, fs/proc/page.c). */
#define KPF_REFERENCED (1ull << 2)
#define KPF_UPTODATE (1ull << 3)
#define KPF_LRU (1ull << 5)
#define KPF_ACTIVE (1ull << 6)
#define KPF_SLAB (1ull << 7)
#define KPF_MMAP (1ull << 11)
#define KPF_ANON (1ull << 12)
#define KPF_SWAPCACHE (1ull << 13)
#define KPF_COMPOUND_HEAD (1ull << 15)
#define KPF_COMPOUND_TAIL (1ull << 16)
#define KPF_HUGE (1ull << 17)
#define KPF_UNEVICTABLE (1ull << 18)
#define KPF_NOPAGE (1ull << 20)
#define KPF_OFFLINE (1ull << 23)
#define KPF_ZERO_PAGE (1ull << 24)
#define KPF_IDLE (1ull << 25)
#define KPF_RESERVED (1ull << 32)

/* Never pages of a process that idle page tracking could know: not asked about, never accessed. */
#define KPF_FOREIGN (KPF_SLAB | KPF_HUGE | KPF_NOPAGE | KPF_OFFLINE | KPF_ZERO_PAGE | KPF_RESERVED)

#define PM_PFN_MASK ((1ull << 55) - 1)
#define PM_EXCLUSIVE (1ull << 56)
#define PM_PRESENT (1ull << 63)

enum lx_call {
	LX_READ_PAGEMAP,
	LX_READ_KPAGEFLAGS,
	LX_READ_KPAGECGROUP,
	LX_READ_BITMAP,
	LX_WRITE_BITMAP,
	LX_PAGEMAP_SCAN,
	LX_PROCESS_MADVISE,
	LX_PROCESS_VM_READV,
	LX_MOVE_PAGES,
	LX_OPEN,
	LX_RWPROTECT,
	LX_NR_CALLS,
};

/*
 * The open files of one machine (-1: not there), the greatest holes worth reading or writing to save a system call,
 * and the system calls made so far. Twin: damon/mm/linux/native.py. The counters are advanced by several threads.
 */
struct lx_files {
	int32_t bitmap, kpageflags, kpagecgroup, proc;
	uint32_t gap_pagemap, gap_kpageflags; /* entries */
	uint32_t gap_write; /* bitmap words */
	uint32_t reserved;
	uint64_t calls[LX_NR_CALLS];
};

static inline void lx_count(struct lx_files *files, enum lx_call call)
{
	__atomic_fetch_add(&files->calls[call], 1, __ATOMIC_RELAXED);
}

/* A key (page frame, page or word number) and the row that it belongs to. */
struct lx_key {
	uint64_t key;
	uint32_t row;
	uint32_t aux;
};

/* ioctl PAGEMAP_SCAN of Linux 6.7 (include/uapi/linux/fs.h), which older headers lack. */
struct lx_scan_range {
	uint64_t start, end, categories;
};

struct lx_scan {
	uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages;
	uint64_t category_inverted, category_mask, category_anyof_mask, return_mask;
};

#define LX_SCAN_IOCTL _IOWR('f', 16, struct lx_scan)
#define LX_SCAN_PRESENT (1ull << 3)
#define LX_SCAN_PFNZERO (1ull << 5)
#define LX_SCAN_HUGE (1ull << 6)
#define LX_SCAN_ACCESSED (1ull << 9)

/* A part of a process's memory, by how accesses to it are seen. */
struct lx_tracked {
	uint64_t start, end, how;
};

/* A growable scratch array; content is lost when it grows. NULL when memory is out. */
struct lx_buf {
	void *rows;
	size_t size;
};

void *lx_reserve(struct lx_buf *buf, size_t size);
/* Sort by key, stable; scratch has room for nr keys. */
void lx_sort(struct lx_key *keys, struct lx_key *scratch, size_t nr);
/*
 * keys[i].key in ascending order names a u64 of fd; out[i] := that u64, 0 where the file has none.
 * Entries up to gap apart come in one read. The number of entries that the file has.
 */
size_t lx_gather(struct lx_files *files, enum lx_call call, int fd, const struct lx_key *keys, size_t nr, uint32_t gap,
		 uint64_t *out);
/* Up to nr u64 from entry first on; the number read, 0 at the end of the file or on failure. */
size_t lx_read(struct lx_files *files, enum lx_call call, int fd, uint64_t first, uint64_t *out, size_t nr);
/* The head of a compound page and its flags, and a page known to belong to it; pfn LX_NO_PFN: none. */
struct lx_head {
	uint64_t pfn, flags, known;
};

/* Find the head of the tail pfn, starting from what the search before (for a page not above pfn) found. */
void lx_find_head(struct lx_files *files, uint64_t pfn, struct lx_head *head);
/*
 * Bits of page frames (ascending) in the idle bitmap. Set them, or read them: idle[i] := 1 if the bit is set, or where
 * the kernel shows no such word, the page's flag; unreadable where neither can be read.
 */
void lx_bits_set(struct lx_files *files, const struct lx_key *pfns, size_t nr);
void lx_bits_get(struct lx_files *files, const struct lx_key *pfns, size_t nr, uint8_t *idle, uint8_t unreadable);

/* Ranges of /proc/PID/maps text, [start, end) in file order, capacity at most; the number that there are. */
size_t linux_maps_parse(const char *text, size_t length, uint64_t *out, size_t capacity);
/* The same in pages, with the page of the file that a mapping begins with; of an anonymous one, that of its address. */
size_t linux_mappings_parse(const char *text, size_t length, uint64_t *out, size_t capacity);
/* Whether the process behind pidfd exists (a zombie does); 0 or a negative errno. */
int linux_pidfd_alive(int pidfd);
/* All of a file under dir in buf, a terminating 0 behind it; the length, or a negative errno. */
ssize_t lx_slurp(struct lx_files *files, int dir, const char *name, struct lx_buf *buf);

/* Page frame -> one page that maps it, for a window of page frames. */
struct lx_rmap {
	uint64_t first, nr; /* the window */
	uint64_t *entries; /* 0: nobody maps it; else process + 1 above LX_VPN_BITS, virtual page below */
	int32_t *pids; /* by process; pids[0] is our own, whose pages are left alone */
	uint32_t nr_pids, capacity;
	uint64_t nr_entries;
};

#define LX_VPN_BITS 44
#define LX_VPN_MASK ((1ull << LX_VPN_BITS) - 1)
#define LX_MAX_PROCESSES ((1u << (64 - LX_VPN_BITS)) - 2)

enum lx_action { LX_PAGEOUT, LX_DEACTIVATE, LX_ACTIVATE, LX_MIGRATE };

/* What became of the wanted pages. Twin: damon/mm/linux/native.py. */
struct lx_result {
	uint64_t wanted; /* mapped pages that the action concerns */
	uint64_t missing; /* not in the reverse map */
	uint64_t own; /* this process's own */
	uint64_t stale; /* in the reverse map, but gone from there */
	uint64_t shared; /* mapped more than once: the kernel would refuse, or copy */
	uint64_t acted; /* advice was given, or the page was read */
	uint64_t left; /* left memory */
	uint64_t moved; /* are on their new node */
	/* Beside the wanted ones: that the action would concern if a process mapped them; that are locked. */
	uint64_t unmapped, unevictable;
};

/* DamonFolio.flags of page flags. */
uint32_t lx_folio_flags(uint64_t flags);
/* Move a page each (key: virtual page) of folios to their target_nid; result: acted, moved. */
void lx_migrate(struct lx_files *files, int32_t pid, int pidfd, const struct damon_folio *folios,
		const struct lx_key *keys, size_t nr, struct lx_result *result);

/* The wanted pages in order of process and address; row: of folios, aux: page of that folio. The number. */
size_t linux_rmap_lookup(const struct lx_rmap *rmap, const struct damon_folio *folios, uint32_t nr, int action,
			 struct lx_key *out, size_t capacity, struct lx_result *result);
/* Keep the pages (key: virtual page) that pagemap still shows at their address; the number kept. */
size_t linux_verify(struct lx_files *files, int pagemap, const struct damon_folio *folios, struct lx_key *pages,
		    size_t nr, int action, uint64_t *entries, struct lx_result *result);
/* Of the pages that were at their address, those that left memory; pages is used up. */
uint64_t linux_count_left(struct lx_files *files, int pagemap, const struct damon_folio *folios, struct lx_key *pages,
			  size_t nr, struct lx_key *scratch, uint64_t *entries);

#endif
