// SPDX-License-Identifier: GPL-2.0-only
/* Pages to NUMA nodes by move_pages(2), which takes them by process and address. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "linux.h"

#define MPOL_MF_MOVE_ALL 4 /* also what several processes map, as the kernel's own migration does */
#define ABSENT (-1000)

static long move_pages(struct lx_files *files, int32_t pid, size_t nr, void **pages, const int *nodes, int *status)
{
	lx_count(files, LX_MOVE_PAGES);
	return syscall(SYS_move_pages, pid, nr, pages, nodes, status, MPOL_MF_MOVE_ALL);
}

/* Which node each page is on; ABSENT or a negative errno where none says. */
static void query(struct lx_files *files, int32_t pid, size_t nr, void **pages, int *status)
{
	for (size_t i = 0; i < nr; i++)
		status[i] = ABSENT;
	move_pages(files, pid, nr, pages, NULL, status);
}

/* The pages that still have to move to one node, the first one's; status marks them as done. */
static size_t take_node(const struct damon_folio *folios, const struct lx_key *keys, size_t nr, void **pages,
			int *status, void **some, int *nodes, uint32_t *rows)
{
	int target = ABSENT;
	size_t left = 0;

	for (size_t i = 0; i < nr; i++) {
		int wanted = folios[keys[i].row].target_nid;

		if (status[i] == ABSENT)
			continue;
		if (status[i] < 0 || status[i] == wanted) { /* gone, or there already */
			status[i] = ABSENT;
			continue;
		}
		if (target == ABSENT)
			target = wanted;
		if (wanted != target)
			continue;
		some[left] = pages[i];
		nodes[left] = target;
		rows[left++] = keys[i].row;
		status[i] = ABSENT;
	}
	return left;
}

/* Move pages of one process to one node; the number of those that are there then. */
static uint64_t move_to_node(struct lx_files *files, int32_t pid, size_t nr, void **pages, const int *nodes,
			     const struct damon_folio *folios, const uint32_t *rows)
{
	int *after = calloc(nr, sizeof(*after));
	uint64_t moved = 0;

	if (after && move_pages(files, pid, nr, pages, nodes, after) >= 0) {
		query(files, pid, nr, pages, after);
		for (size_t i = 0; i < nr; i++)
			moved += after[i] == nodes[i] ? folios[rows[i]].nr_pages : 0;
	}
	free(after);
	return moved;
}

void lx_migrate(struct lx_files *files, int32_t pid, int pidfd, const struct damon_folio *folios,
		const struct lx_key *keys, size_t nr, struct lx_result *result)
{
	void **pages = calloc(nr, sizeof(*pages)), **some = calloc(nr, sizeof(*some));
	int *status = calloc(nr, sizeof(*status)), *nodes = calloc(nr, sizeof(*nodes));
	uint32_t *rows = calloc(nr, sizeof(*rows));
	uint64_t moved = 0;
	size_t left;

	if (!pages || !some || !status || !nodes || !rows)
		goto out;
	for (size_t i = 0; i < nr; i++)
		pages[i] = (void *)(uintptr_t)(keys[i].key << LX_PAGE_SHIFT);
	query(files, pid, nr, pages, status);
	/* A node at a time: one that does not exist makes the whole call fail. */
	while ((left = take_node(folios, keys, nr, pages, status, some, nodes, rows))) {
		result->acted += left;
		moved += move_to_node(files, pid, left, some, nodes, folios, rows);
	}
	if (!linux_pidfd_alive(pidfd)) /* it goes by its number here: else it may have been another's */
		result->moved += moved;
out:
	free(pages);
	free(some);
	free(status);
	free(nodes);
	free(rows);
}

/* Move the passing folios of a process's walk, as far as they are still at their address. 0, or a negative errno. */
EXPORT int linux_migrate_virt(struct lx_files *files, int32_t pid, int pidfd, int pagemap,
			      const struct damon_folio *folios, uint32_t nr, struct lx_result *result)
{
	struct lx_key *keys = calloc(nr ? nr : 1, sizeof(*keys));
	uint64_t *entries = calloc(nr ? nr : 1, sizeof(*entries));
	size_t wanted = 0, kept = 0;

	if (!keys || !entries) {
		free(keys);
		free(entries);
		return -ENOMEM;
	}
	for (uint32_t i = 0; i < nr; i++)
		if (folios[i].flags & FOLIO_PASS && folios[i].target_nid >= 0)
			keys[wanted++] = (struct lx_key){ folios[i].addr >> LX_PAGE_SHIFT, i, 0 };
	result->wanted += wanted;
	lx_gather(files, LX_READ_PAGEMAP, pagemap, keys, wanted, files->gap_pagemap, entries);
	for (size_t i = 0; i < wanted; i++) {
		const struct damon_folio *f = &folios[keys[i].row];

		if (entries[i] & PM_PRESENT && (entries[i] & PM_PFN_MASK) - f->pfn < f->nr_pages)
			keys[kept++] = keys[i];
		else
			result->stale++;
	}
	if (kept)
		lx_migrate(files, pid, pidfd, folios, keys, kept, result);
	free(keys);
	free(entries);
	return 0;
}

/* Whether the kernel has move_pages(2): not without NUMA and migration. */
EXPORT int linux_move_pages_there(struct lx_files *files)
{
	return move_pages(files, 0, 0, NULL, NULL, NULL) >= 0 || errno != ENOSYS;
}
