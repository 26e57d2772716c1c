// SPDX-License-Identifier: GPL-2.0-only
/* What processes map: their areas, and the frames of their pages; lines of what has changed since the last look. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "agent.h"

#define PRESENT (1ull << 63)
#define FRAME ((1ull << 55) - 1)
#define MOST_READ (1ull << 34) /* of an area, where the kernel cannot list what is present */
#define RANGES 256

/* include/uapi/linux/fs.h since 6.7 */
struct page_region {
	uint64_t start, end, categories;
};
struct pm_scan_arg {
	uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages, category_inverted, category_mask,
		category_anyof_mask, return_mask;
};
#define PAGEMAP_SCAN _IOWR('f', 16, struct pm_scan_arg)
#define PAGE_IS_PRESENT (1 << 3)

struct entry {
	uint64_t page, frame;
};

struct list {
	struct entry *entries;
	size_t nr, room;
};

/* An address space: a process, from one execve to the next. */
struct process {
	unsigned long id;
	uint64_t areas_hash;
	struct stat_line stat;
	int alive;
	struct list pages;
};

static struct process *processes;
static size_t nr_processes;
static struct list found;
static int own_pagemap = -1;

int open_own(void)
{
	own_pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	return own_pagemap < 0 ? -1 : 0;
}

uint64_t own_frame(uintptr_t at)
{
	uint64_t entry;

	if (pread(own_pagemap, &entry, sizeof(entry), (off_t)(at / PAGE * 8)) != sizeof(entry) || !(entry & PRESENT))
		return 0;
	return entry & FRAME;
}

static void add(struct list *list, uint64_t page, uint64_t frame)
{
	if (list->nr == list->room) {
		size_t room = list->room ? 2 * list->room : 4096;
		struct entry *more = realloc(list->entries, room * sizeof(*more));

		if (!more)
			return;
		list->entries = more;
		list->room = room;
	}
	list->entries[list->nr++] = (struct entry){ page, frame };
}

static void read_range(int pagemap, uint64_t start, uint64_t end)
{
	static uint64_t entries[4096];

	while (start < end) {
		uint64_t pages = (end - start) / PAGE;
		ssize_t got;

		pages = pages < 4096 ? pages : 4096;
		got = pread(pagemap, entries, pages * 8, (off_t)(start / PAGE * 8));
		if (got < 8)
			return;
		for (ssize_t i = 0; i < got / 8; i++)
			if (entries[i] & PRESENT && entries[i] & FRAME)
				add(&found, start / PAGE + (uint64_t)i, entries[i] & FRAME);
		start += (uint64_t)got / 8 * PAGE;
	}
}

static void read_area(int pagemap, uint64_t start, uint64_t end)
{
	static struct page_region ranges[RANGES];
	static int no_scan;
	struct pm_scan_arg arg = { .size = sizeof(arg),
				   .vec = (uintptr_t)ranges,
				   .vec_len = RANGES,
				   .end = end,
				   .category_mask = PAGE_IS_PRESENT,
				   .return_mask = PAGE_IS_PRESENT };

	while (!no_scan && start < end) {
		int nr;

		arg.start = start;
		nr = ioctl(pagemap, PAGEMAP_SCAN, &arg);
		if (nr < 0) {
			no_scan = 1;
			break;
		}
		for (int i = 0; i < nr; i++)
			read_range(pagemap, ranges[i].start, ranges[i].end);
		if (arg.walk_end <= start)
			return;
		start = arg.walk_end;
	}
	if (no_scan && end - start <= MOST_READ)
		read_range(pagemap, start, end);
}

static uint64_t hash(const char *at)
{
	uint64_t value = 0xcbf29ce484222325ull;

	while (*at)
		value = (value ^ (unsigned char)*at++) * 0x100000001b3ull;
	return value;
}

/* Its areas where they have changed, and the frames of all its pages. */
static int read_process(struct process *p)
{
	char path[64], *line = read_text(p->stat.pid, "maps"), *end;
	uint64_t sum;
	int pagemap;

	if (!line)
		return -1;
	sum = hash(line);
	if (sum != p->areas_hash)
		fprintf(maps_out, "areas\n%s.\n", line);
	p->areas_hash = sum;
	snprintf(path, sizeof(path), "/proc/%d/pagemap", (int)p->stat.pid);
	pagemap = open(path, O_RDONLY | O_CLOEXEC);
	if (pagemap < 0)
		return -1;
	found.nr = 0;
	for (; *line; line = end + 1) {
		unsigned long from, to;

		end = strchr(line, '\n');
		if (!end)
			break;
		*end = 0;
		if (sscanf(line, "%lx-%lx", &from, &to) == 2 && !(from >> 63) && !strstr(line, "[v"))
			read_area(pagemap, from, to);
	}
	close(pagemap);
	return 0;
}

/* Pages that follow each other, on frames that do so too, are one line. */
static void say_run(char what, const struct entry *first, size_t nr)
{
	if (what == '+')
		fprintf(maps_out, "+%lx %lx %zx\n", first->page, first->frame, nr);
	else
		fprintf(maps_out, "-%lx %zx\n", first->page, nr);
}

struct runs {
	char what;
	struct entry first;
	size_t nr;
};

static void add_run(struct runs *run, const struct entry *entry)
{
	if (run->nr && entry->page == run->first.page + run->nr &&
	    (run->what == '-' || entry->frame == run->first.frame + run->nr)) {
		run->nr++;
		return;
	}
	if (run->nr)
		say_run(run->what, &run->first, run->nr);
	run->first = *entry;
	run->nr = 1;
}

static void say_changes(const struct list *old, const struct list *new)
{
	struct runs gone = { .what = '-' }, come = { .what = '+' };

	for (size_t i = 0, j = 0; i < old->nr; i++) {
		while (j < new->nr && new->entries[j].page < old->entries[i].page)
			j++;
		if (j == new->nr || new->entries[j].page != old->entries[i].page)
			add_run(&gone, &old->entries[i]);
	}
	if (gone.nr)
		say_run('-', &gone.first, gone.nr);
	for (size_t i = 0, j = 0; j < new->nr; j++) {
		while (i < old->nr && old->entries[i].page < new->entries[j].page)
			i++;
		if (i == old->nr || old->entries[i].page != new->entries[j].page ||
		    old->entries[i].frame != new->entries[j].frame)
			add_run(&come, &new->entries[j]);
	}
	if (come.nr)
		say_run('+', &come.first, come.nr);
}

static int same(const struct stat_line *a, const struct stat_line *b)
{
	return a->pid == b->pid && a->started == b->started && a->stack == b->stack;
}

/* Is alive in this look. */
static void meet(const struct stat_line *stat)
{
	static unsigned long ids;
	struct process *more;
	size_t i = 0;

	while (i < nr_processes && !same(&processes[i].stat, stat))
		i++;
	if (i == nr_processes) {
		more = realloc(processes, (nr_processes + 1) * sizeof(*more));
		if (!more)
			return;
		processes = more;
		processes[nr_processes++] = (struct process){ .id = ++ids };
	}
	processes[i].stat = *stat;
	processes[i].alive = 1;
}

static void look_at(struct process *p)
{
	struct list old = p->pages;

	fprintf(maps_out, "process %lx %d %lx %lx %s\n", p->id, (int)p->stat.pid, p->stat.started, now_ns(),
		p->stat.name);
	if (read_process(p))
		return;
	say_changes(&old, &found);
	p->pages = found;
	found = old; /* its memory is used again */
}

static void leave_the_dead(void)
{
	size_t kept = 0;

	for (size_t i = 0; i < nr_processes; i++) {
		if (processes[i].alive) {
			processes[kept++] = processes[i];
			continue;
		}
		fprintf(maps_out, "gone %lx %lx\n", processes[i].id, now_ns());
		free(processes[i].pages.entries);
	}
	nr_processes = kept;
}

void look(pid_t root, const char *comm)
{
	static struct stat_line stats[4096];
	size_t nr = later_processes(stats, 4096);

	fprintf(maps_out, "look %lx\n", now_ns());
	for (size_t i = 0; i < nr_processes; i++)
		processes[i].alive = 0;
	for (size_t i = 0; i < nr; i++)
		if ((!strcmp(comm, "-") || !strcmp(comm, stats[i].name)) && belongs(stats, nr, i, root))
			meet(&stats[i]);
	leave_the_dead();
	for (size_t i = 0; i < nr_processes; i++)
		look_at(&processes[i]);
	fprintf(maps_out, "end %lx\n", now_ns());
}
