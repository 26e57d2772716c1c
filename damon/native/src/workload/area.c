// SPDX-License-Identifier: GPL-2.0-only
/* The areas of a process, and the flushing of its TLB. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__aarch64__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

#include "process.h"

/*
 * How far the flushed addresses reach. x86-64: above the kernel's limit for flushing single pages. arm64 kernels flush
 * such a range in one instruction, and QEMU flushes just that unless it is longer than its table of translations.
 */
#if defined(__aarch64__)
#define FLUSH_PAGES 4096
#else
#define FLUSH_PAGES 64
#endif

static int fail(const char *what, const char *name, const char *remedy)
{
	fprintf(stderr, "damon-workload: %s of area %s failed: %s; %s\n", what, name, strerror(errno), remedy);
	return -1;
}

size_t unlocked;

void keep_in_memory(const void *start, size_t size)
{
	if (mlock2(start, size, MLOCK_ONFAULT))
		unlocked += size;
}

/* A file of the area's size that has no name; not every file system makes one without a name at once. */
static int backing_file(const struct plan *plan, const struct area *a)
{
	char name[sizeof(plan->dir) + 32];
	int fd = open(plan->dir, O_TMPFILE | O_RDWR, 0600);

	if (fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR)) {
		snprintf(name, sizeof(name), "%s/damon-workload.XXXXXX", plan->dir);
		fd = mkstemp(name);
		if (fd >= 0)
			unlink(name);
	}
	if (fd >= 0 && ftruncate(fd, (off_t)a->size)) {
		close(fd);
		return -1;
	}
	return fd;
}

static int lock(const struct area *a)
{
	char remedy[40];

	if (!a->locked || !mlock2(a->base, a->size, MLOCK_ONFAULT))
		return 0;
	snprintf(remedy, sizeof(remedy), "ulimit -l %lu", a->size >> 10);
	return fail("mlock2", a->name, remedy);
}

/* The table of when each page was touched last: nothing is touched yet, but for what is about to be populated. */
static int note_touches(struct area *a, uint64_t pages)
{
	if (!a->last_interval) {
		a->last_interval = calloc(pages, sizeof(*a->last_interval));
		if (!a->last_interval)
			return fail("bookkeeping", a->name, "make it smaller");
		keep_in_memory(a->last_interval, pages * sizeof(*a->last_interval));
	} else if (!a->populate) {
		memset(a->last_interval, 0, pages * sizeof(*a->last_interval));
	}
	return 0;
}

int map_area(struct state *s, struct area *a)
{
	int fd = -1, flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
	uint64_t pages = a->size / PAGE;

	if (a->base)
		return 0;
	if (a->is_file) {
		fd = backing_file(s->plan, a);
		if (fd < 0)
			return fail("the backing file", a->name, "give a --directory with room");
		flags = MAP_SHARED;
	}
	a->base = mmap(NULL, a->size, PROT_READ | PROT_WRITE, flags, fd, 0);
	if (fd >= 0)
		close(fd);
	if (a->base == MAP_FAILED) {
		a->base = NULL;
		return fail("mmap", a->name, "make it smaller");
	}
	madvise(a->base, a->size, s->plan->huge_pages ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
	a->absent = a->populate ? 0 : pages;
	if (lock(a) || note_touches(a, pages))
		return -1;
	for (uint64_t i = 0; a->populate && i < pages && !stop_asked; i++)
		a->base[i * PAGE] = 1;
	a->counted_us = now_us();
	a->stride = 0;
	a->owed = 0;
	return 0;
}

void unmap_area(struct area *a)
{
	if (a->base)
		munmap(a->base, a->size);
	a->base = NULL;
}

void count_time(struct state *s)
{
	uint64_t now = now_us();

	for (int i = 0; i < s->plan->nr_areas; i++) {
		struct area *a = &s->plan->areas[i];

		if (a->base) {
			a->us += now - a->counted_us;
			a->counted_us = now;
		}
	}
}

/* Does the processor say that it is QEMU's software emulation? */
static int emulated(void)
{
#if defined(__x86_64__)
	unsigned int eax, signature[3];

	__cpuid(1, eax, signature[0], signature[1], signature[2]);
	if (!(signature[1] & (1u << 31))) /* no hypervisor */
		return 0;
	__cpuid(0x40000000, eax, signature[0], signature[1], signature[2]);
	return !memcmp(signature, "TCGTCGTCGTCG", 12);
#elif defined(__aarch64__)
	unsigned long id;

	if (!(getauxval(AT_HWCAP) & HWCAP_CPUID))
		return 0;
	/* The kernel answers. Implementer 0 is software, and 'Q' its part: QEMU's "max", which no hardware is. */
	__asm__("mrs %0, MIDR_EL1" : "=r"(id));
	return (id >> 24 & 0xff) == 0 && (id >> 4 & 0xfff) == 'Q';
#else
	return 0;
#endif
}

int set_up_flush(struct state *s)
{
	int wanted = s->plan->tlb_flush;

	if (!wanted || (wanted == 2 && !emulated()))
		return 0;
	s->flush_area = mmap(NULL, FLUSH_PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (s->flush_area == MAP_FAILED) {
		perror("damon-workload: the pages for flushing the TLB");
		return -1;
	}
	madvise(s->flush_area, FLUSH_PAGES * PAGE, MADV_NOHUGEPAGE);
	/*
	 * To a monitor they are idle; were they reclaimed, there would be nothing to flush. Locked memory that becomes
	 * writable is touched by the kernel, so it never does again.
	 */
	if (mlock2(s->flush_area, FLUSH_PAGES * PAGE, MLOCK_ONFAULT)) {
		fprintf(stderr, "damon-workload: locking the pages for flushing the TLB failed: %s; ulimit -l %d\n",
			strerror(errno), (int)(FLUSH_PAGES * PAGE >> 10));
		return -1;
	}
	/* The kernel flushes from the first page that is there to the last. */
	s->flush_area[0] = 1;
	s->flush_area[(FLUSH_PAGES - 1) * PAGE] = 1;
	mprotect(s->flush_area, FLUSH_PAGES * PAGE, PROT_READ);
	return 0;
}

/* Neither DAMON nor idle page tracking flushes the TLB, and an emulated one forgets nothing by itself. */
void flush_tlb(struct state *s, uint64_t now)
{
	if (!s->flush_area || now - s->flushed_us < s->plan->round_us)
		return;
	mprotect(s->flush_area, FLUSH_PAGES * PAGE, PROT_NONE);
	mprotect(s->flush_area, FLUSH_PAGES * PAGE, PROT_READ);
	s->flushed_us = now;
}
