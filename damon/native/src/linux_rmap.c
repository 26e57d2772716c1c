// SPDX-License-Identifier: GPL-2.0-only
/*
 * The reverse map: page frame -> (process, virtual page), read from the page tables that /proc shows. It is a hint: who
 * acts on it asks pagemap again first.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "linux.h"

#define CHUNK 4096
#define NR_RANGES 512
/* Holes between present pages up to this many entries are read over. */
#define GAP 32
/* Without PAGEMAP_SCAN (Linux < 6.7), greater mappings are taken for reservations and left out. */
#define MAX_RESERVED_PAGES (64ull << (30 - LX_PAGE_SHIFT))

EXPORT struct lx_rmap *linux_rmap_new(void)
{
	return calloc(1, sizeof(struct lx_rmap));
}

static void drop(struct lx_rmap *rmap)
{
	if (rmap->entries)
		munmap(rmap->entries, rmap->nr * 8);
	rmap->entries = NULL;
	rmap->nr = rmap->nr_pids = 0;
	rmap->nr_entries = 0;
}

EXPORT void linux_rmap_free(struct lx_rmap *rmap)
{
	if (!rmap)
		return;
	drop(rmap);
	free(rmap->pids);
	free(rmap);
}

EXPORT uint64_t linux_rmap_entries(const struct lx_rmap *rmap)
{
	return rmap->nr_entries;
}

EXPORT uint64_t linux_rmap_get(const struct lx_rmap *rmap, uint64_t pfn, int32_t *pid)
{
	uint64_t entry = pfn - rmap->first < rmap->nr ? rmap->entries[pfn - rmap->first] : 0;

	*pid = entry ? rmap->pids[(entry >> LX_VPN_BITS) - 1] : 0;
	return entry & LX_VPN_MASK;
}

static int add_process(struct lx_rmap *rmap, int32_t pid)
{
	if (rmap->nr_pids == rmap->capacity) {
		uint32_t capacity = rmap->capacity ? 2 * rmap->capacity : 256;
		int32_t *pids = realloc(rmap->pids, capacity * sizeof(*pids));

		if (!pids)
			return -ENOMEM;
		rmap->pids = pids;
		rmap->capacity = capacity;
	}
	rmap->pids[rmap->nr_pids++] = pid;
	return 0;
}

/* Enter the pages [start, end) of one process as far as they are present and nobody else has entered them. */
static void enter_range(struct lx_files *files, struct lx_rmap *rmap, int fd, uint32_t process, uint64_t start,
			uint64_t end, uint64_t *buf)
{
	while (start < end) {
		size_t want = end - start < CHUNK ? end - start : CHUNK;
		size_t got = lx_read(files, LX_READ_PAGEMAP, fd, start, buf, want);

		for (size_t i = 0; i < got; i++) {
			uint64_t at = (buf[i] & PM_PFN_MASK) - rmap->first;

			if (!(buf[i] & PM_PRESENT) || !(buf[i] & PM_PFN_MASK) || at >= rmap->nr || rmap->entries[at])
				continue;
			rmap->entries[at] = ((uint64_t)process + 1) << LX_VPN_BITS | ((start + i) & LX_VPN_MASK);
			rmap->nr_entries++;
		}
		if (got < want)
			return;
		start += got;
	}
}

/* Ranges of bytes, holes up to GAP pages read over. */
static void enter_ranges(struct lx_files *files, struct lx_rmap *rmap, int fd, uint32_t process,
			 const struct lx_scan_range *ranges, size_t nr, uint64_t *buf)
{
	for (size_t i = 0; i < nr;) {
		uint64_t start = ranges[i].start >> LX_PAGE_SHIFT, end = ranges[i].end >> LX_PAGE_SHIFT;

		for (i++; i < nr && (ranges[i].start >> LX_PAGE_SHIFT) - end <= GAP; i++)
			end = ranges[i].end >> LX_PAGE_SHIFT;
		enter_range(files, rmap, fd, process, start, end, buf);
	}
}

/*
 * Where user addresses end: 2^47 on x86-64, on arm64 what the kernel is configured for (2^39 to 2^48); it refuses to
 * scan beyond. The program's name lies at the top of its stack, and that at the top of its addresses.
 */
static uint64_t user_end(void)
{
	uint64_t top = getauxval(AT_EXECFN);

	return top ? 1ull << (64 - __builtin_clzll(top)) : 1ull << 47;
}

/* The present pages, found by the kernel: empty page tables cost nothing. 0, or a negative errno. */
static int enter_scanned(struct lx_files *files, struct lx_rmap *rmap, int fd, uint32_t process, uint64_t *buf)
{
	struct lx_scan_range ranges[NR_RANGES];
	struct lx_scan arg = {
		.size = sizeof(arg),
		.end = user_end() - LX_PAGE_SIZE,
		.vec = (uint64_t)(uintptr_t)ranges,
		.vec_len = NR_RANGES,
		.category_inverted = LX_SCAN_PFNZERO,
		.category_mask = LX_SCAN_PRESENT | LX_SCAN_PFNZERO,
		.return_mask = LX_SCAN_PRESENT,
	};

	while (arg.start < arg.end) {
		int nr;

		lx_count(files, LX_PAGEMAP_SCAN);
		nr = ioctl(fd, LX_SCAN_IOCTL, &arg);
		if (nr < 0)
			return -errno;
		enter_ranges(files, rmap, fd, process, ranges, (size_t)nr, buf);
		if (arg.walk_end <= arg.start)
			break;
		arg.start = arg.walk_end;
	}
	return 0;
}

static void enter_mapped(struct lx_files *files, struct lx_rmap *rmap, int dir, int fd, uint32_t process, uint64_t *buf)
{
	struct lx_buf text = { NULL, 0 };
	ssize_t length = lx_slurp(files, dir, "maps", &text);
	size_t nr = length > 0 ? linux_maps_parse(text.rows, (size_t)length, NULL, 0) : 0;
	uint64_t *ranges = nr ? malloc(nr * 16) : NULL;

	if (ranges) {
		linux_maps_parse(text.rows, (size_t)length, ranges, nr);
		for (size_t i = 0; i < nr; i++) {
			uint64_t start = ranges[2 * i] >> LX_PAGE_SHIFT, end = ranges[2 * i + 1] >> LX_PAGE_SHIFT;

			if (end - start <= MAX_RESERVED_PAGES)
				enter_range(files, rmap, fd, process, start, end, buf);
		}
	}
	free(ranges);
	free(text.rows);
}

/* Kernel threads, processes that vanish and those that may not be looked into are skipped. */
static void enter_process(struct lx_files *files, struct lx_rmap *rmap, uint32_t process, uint64_t *buf)
{
	char name[16];
	uint64_t entry;
	int dir, fd, err;

	snprintf(name, sizeof(name), "%d", rmap->pids[process]);
	lx_count(files, LX_OPEN);
	dir = openat(files->proc, name, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return;
	lx_count(files, LX_OPEN);
	fd = openat(dir, "pagemap", O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		close(dir);
		return;
	}
	/* A kernel thread's reads as empty. Not to be scanned: some kernels go through its missing address space. */
	if (lx_read(files, LX_READ_PAGEMAP, fd, 0, &entry, 1)) {
		err = enter_scanned(files, rmap, fd, process, buf);
		if (err && err != -ESRCH)
			enter_mapped(files, rmap, dir, fd, process, buf);
	}
	close(fd);
	close(dir);
}

static int is_pid(const char *name)
{
	return *name >= '1' && *name <= '9' && strspn(name, "0123456789") == strlen(name) && strlen(name) < 11;
}

/* Add the processes that PROC lists and that map something, but for own. 0, or a negative errno. */
static int enter_others(struct lx_files *files, struct lx_rmap *rmap, DIR *proc, int32_t own, uint64_t *buf)
{
	struct dirent *entry;
	int err = 0;

	while (!err && rmap->nr_pids < LX_MAX_PROCESSES && (entry = readdir(proc))) {
		int32_t pid = is_pid(entry->d_name) ? atoi(entry->d_name) : own;

		if (pid == own)
			continue;
		err = add_process(rmap, pid);
		if (!err) {
			uint64_t before = rmap->nr_entries;

			enter_process(files, rmap, rmap->nr_pids - 1, buf);
			if (rmap->nr_entries == before)
				rmap->nr_pids--; /* a kernel thread, mostly */
		}
	}
	return err;
}

/*
 * Read the window [first, first + nr) of page frames anew, own the process of the caller (it comes last: of a page that
 * it shares, the other's mapping counts). 8 bytes a page frame, touched only where something is mapped.
 */
EXPORT int linux_rmap_build(struct lx_files *files, struct lx_rmap *rmap, int32_t own, uint64_t first, uint64_t nr)
{
	uint64_t *buf = malloc(CHUNK * 8);
	int err = -ENOMEM;
	DIR *proc = NULL;
	int fd;

	drop(rmap);
	lx_count(files, LX_OPEN);
	fd = openat(files->proc, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0)
		proc = fdopendir(fd);
	if (!buf || !proc)
		goto out;
	rmap->entries = mmap(NULL, nr * 8, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (rmap->entries == MAP_FAILED) {
		rmap->entries = NULL;
		goto out;
	}
	rmap->first = first;
	rmap->nr = nr;
	err = add_process(rmap, own);
	if (!err)
		err = enter_others(files, rmap, proc, own, buf);
	if (!err)
		enter_process(files, rmap, 0, buf);
out:
	free(buf);
	if (proc)
		closedir(proc);
	else if (fd >= 0)
		close(fd);
	return err;
}
