// SPDX-License-Identifier: GPL-2.0-only
/*
 * One process of a workload: maps its areas, touches their pages at the planned rates, and keeps the truth of it: in
 * how many sampling intervals each page was touched.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include "plan.h"

#define TICK_US 1000
#define CATCH_UP_US 20000	/* touches that are later than this are dropped, and counted */
#define CLOCK_EVERY 128		/* touches between two looks at the clock */
#define FLUSH_PAGES 64		/* above the kernel's limit for flushing single pages */

struct state {
	struct plan *plan;
	int index;
	uint64_t began_us, phase_began_us, next_report_us;
	uint64_t rnd, reported_touches, reported_us;
	struct phase *phase;
	uint8_t *flush_area;
};

static volatile sig_atomic_t stop_asked, report_asked;

static void on_stop(int number)
{
	(void)number;
	stop_asked = 1;
}

static void on_report(int number)
{
	(void)number;
	report_asked = 1;
}

static uint64_t now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

static uint64_t next_random(struct state *s)
{
	uint64_t v = s->rnd += 0x9E3779B97F4A7C15ull;

	v = (v ^ (v >> 30)) * 0xBF58476D1CE4E5B9ull;
	v = (v ^ (v >> 27)) * 0x94D049BB133111EBull;
	return v ^ (v >> 31);
}

static uint64_t random_below(struct state *s, uint64_t n)
{
	return (uint64_t)(((unsigned __int128)next_random(s) * n) >> 64);
}

static double random_unit(struct state *s)
{
	return (double)(next_random(s) >> 11) * 0x1p-53;
}

/* A line in one write(), so that lines of several processes do not mix. */
static void emit(const char *text, size_t length)
{
	while (length) {
		ssize_t n = write(STDOUT_FILENO, text, length);

		if (n < 0 && errno != EINTR)
			return;
		if (n > 0)
			text += n, length -= (size_t)n;
	}
}

static int fail(const char *what, const char *name)
{
	fprintf(stderr, "damon-workload: %s of area %s failed: %s\n", what, name, strerror(errno));
	return -1;
}

static int backing_file(const struct plan *plan, const struct area *a)
{
	int fd = open(plan->dir, O_TMPFILE | O_RDWR, 0600);

	if (fd >= 0 && ftruncate(fd, (off_t)a->size)) {
		close(fd);
		return -1;
	}
	return fd;
}

static int map_area(struct state *s, struct area *a)
{
	int fd = -1, flags = MAP_PRIVATE | MAP_ANONYMOUS;
	uint64_t pages = a->size / PAGE;

	if (a->is_file) {
		fd = backing_file(s->plan, a);
		if (fd < 0)
			return fail("the backing file", a->name);
		flags = MAP_SHARED;
	}
	a->base = mmap(NULL, a->size, PROT_READ | PROT_WRITE, flags, fd, 0);
	if (fd >= 0)
		close(fd);
	if (a->base == MAP_FAILED) {
		a->base = NULL;
		return fail("mmap", a->name);
	}
	if (!s->plan->huge_pages)
		madvise(a->base, a->size, MADV_NOHUGEPAGE);
	if (!a->last_interval)
		a->last_interval = calloc(pages, sizeof(*a->last_interval));
	if (!a->last_interval)
		return fail("bookkeeping", a->name);
	if (a->populate)
		for (uint64_t i = 0; i < pages; i++)
			a->base[i * PAGE] = 1;
	return 0;
}

static void unmap_area(struct area *a)
{
	munmap(a->base, a->size);
	a->base = NULL;
}

/* Does the processor say that it is QEMU's software emulation? */
static int emulated(void)
{
#if defined(__x86_64__)
	unsigned int eax, signature[3];

	__cpuid(1, eax, signature[0], signature[1], signature[2]);
	if (!(signature[1] & (1u << 31)))	/* no hypervisor */
		return 0;
	__cpuid(0x40000000, eax, signature[0], signature[1], signature[2]);
	return !memcmp(signature, "TCGTCGTCGTCG", 12);
#else
	return 0;
#endif
}

/* Neither DAMON nor idle page tracking flushes the TLB, and an emulated one forgets nothing by itself. */
static void flush_tlb(struct state *s)
{
	if (!s->flush_area)
		return;
	mprotect(s->flush_area, FLUSH_PAGES * PAGE, PROT_READ);
	mprotect(s->flush_area, FLUSH_PAGES * PAGE, PROT_READ | PROT_WRITE);
}

static int set_up_zipf(struct access *a, uint64_t pages)
{
	double sum = 0;

	a->cumulative = malloc(pages * sizeof(double));
	if (!a->cumulative)
		return -1;
	for (uint64_t i = 0; i < pages; i++)
		a->cumulative[i] = sum += pow((double)(i + 1), -a->skew);
	return 0;
}

static uint64_t zipf_page(struct state *s, const struct access *a, uint64_t pages)
{
	double wanted = random_unit(s) * a->cumulative[pages - 1];
	uint64_t low = 0, high = pages - 1;

	while (low < high) {
		uint64_t middle = (low + high) / 2;

		if (a->cumulative[middle] > wanted)
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

static uint64_t next_page(struct state *s, struct access *a, const struct area *area)
{
	uint64_t page;

	switch (a->pattern) {
	case SEQUENTIAL:
		page = a->position;
		a->position = a->position + 1 == area->size / PAGE ? 0 : a->position + 1;
		return page;
	case STRIDED:
		page = a->position / PAGE;
		a->position = (a->position + a->stride) % area->size;
		return page;
	case RANDOM:
		return random_below(s, area->size / PAGE);
	default:
		return zipf_page(s, a, area->size / PAGE);
	}
}

static void touch(struct state *s, struct access *a, uint64_t count)
{
	struct area *area = &s->plan->areas[a->area];
	uint64_t write_below = a->write_share >= 1 ? UINT64_MAX : (uint64_t)(a->write_share * 0x1p64);
	uint32_t interval = 0;

	for (uint64_t i = 0; i < count; i++) {
		uint64_t page = next_page(s, a, area);
		volatile uint8_t *byte = area->base + page * PAGE + 64;

		if (i % CLOCK_EVERY == 0)
			interval = (uint32_t)((now_us() - s->began_us) / s->plan->interval_us) + 1;
		if (a->write_share >= 1 || (a->write_share > 0 && next_random(s) < write_below))
			(*byte)++;
		else
			(void)*byte;
		if (area->last_interval[page] != interval) {
			area->last_interval[page] = interval;
			area->pairs++;
		}
	}
	area->touches += count;
	a->done += count;
}

static double share_of(const struct area *a, uint64_t interval_us)
{
	double intervals = (double)a->intervals_us / (double)interval_us;

	return intervals > 0 ? (double)a->pairs / ((double)(a->size / PAGE) * intervals) : 0;
}

static void report(struct state *s, const char *event)
{
	char *text = NULL;
	size_t length = 0;
	FILE *out = open_memstream(&text, &length);
	uint64_t now = now_us(), touches = 0, dropped = 0;
	const char *comma = "";

	if (!out)
		return;
	for (int i = 0; i < s->plan->nr_areas; i++)
		if (s->plan->areas[i].process == s->index)
			touches += s->plan->areas[i].touches;
	for (int p = 0; p < s->plan->nr_phases; p++)
		for (int i = 0; i < s->plan->phases[p].nr_accesses; i++)
			dropped += s->plan->phases[p].accesses[i].dropped;
	fprintf(out, "{\"event\": \"%s\", \"process\": \"%s\", \"pid\": %d, \"seconds\": %.3f, \"phase\": \"%s\", "
		"\"touches\": %lu, \"touches_per_second\": %.0f, \"dropped\": %lu, \"interval_us\": %lu, "
		"\"tlb_flush\": %s, \"areas\": [", event, s->plan->processes[s->index], (int)getpid(),
		(double)(now - s->began_us) / 1e6, s->phase ? s->phase->name : "", touches,
		(double)(touches - s->reported_touches) * 1e6 / (double)(now - s->reported_us + 1), dropped,
		s->plan->interval_us, s->flush_area ? "true" : "false");
	for (int i = 0; i < s->plan->nr_areas; i++) {
		const struct area *a = &s->plan->areas[i];

		if (a->process != s->index)
			continue;
		fprintf(out, "%s{\"name\": \"%s\", \"start\": %lu, \"end\": %lu, \"touches\": %lu, \"share\": %.6f}", comma,
			a->name, (uint64_t)a->base, a->base ? (uint64_t)a->base + a->size : 0, a->touches,
			share_of(a, s->plan->interval_us));
		comma = ", ";
	}
	fputs("]}\n", out);
	fclose(out);
	emit(text, length);
	free(text);
	s->reported_touches = touches;
	s->reported_us = now;
}

/* Enter the phase: its events, then its accesses from zero. 1: this process exits here, -1: failed. */
static int enter_phase(struct state *s, struct phase *phase, uint64_t now)
{
	s->phase = phase;
	s->phase_began_us = now;
	for (int i = 0; i < phase->nr_events; i++) {
		struct event *e = &phase->events[i];

		if (e->kind == EV_EXIT) {
			if (e->index == s->index)
				return 1;
			continue;
		}
		if (s->plan->areas[e->index].process != s->index)
			continue;
		if (e->kind == EV_MUNMAP)
			unmap_area(&s->plan->areas[e->index]);
		else if (map_area(s, &s->plan->areas[e->index]))
			return -1;
	}
	for (int i = 0; i < phase->nr_accesses; i++) {
		struct access *a = &phase->accesses[i];
		uint64_t pages = s->plan->areas[a->area].size / PAGE;

		a->done = 0;
		if (a->pattern == ZIPF && !a->cumulative && s->plan->areas[a->area].process == s->index &&
		    set_up_zipf(a, pages))
			return -1;
	}
	return 0;
}

/* Touch what is due by now. */
static void perform(struct state *s, uint64_t now)
{
	double elapsed = (double)(now - s->phase_began_us) / 1e6;

	for (int i = 0; i < s->phase->nr_accesses; i++) {
		struct access *a = &s->phase->accesses[i];
		uint64_t due = (uint64_t)(elapsed * a->rate), most = (uint64_t)(a->rate * CATCH_UP_US / 1e6) + 1;

		if (s->plan->areas[a->area].process != s->index || due <= a->done)
			continue;
		due -= a->done;
		if (due > most) {
			a->dropped += due - most;
			a->done += due - most;
			due = most;
		}
		touch(s, a, due);
	}
}

static int next_phase(struct state *s, uint64_t now)
{
	struct phase *last = &s->plan->phases[s->plan->nr_phases - 1];

	if (now - s->phase_began_us < s->phase->duration_us || (s->phase == last && !s->plan->repeat))
		return 0;
	return enter_phase(s, s->phase == last ? s->plan->phases : s->phase + 1, s->phase_began_us + s->phase->duration_us);
}

static void loop(struct state *s, int *code)
{
	uint64_t tick = s->began_us, before = s->began_us;

	while (!stop_asked) {
		uint64_t now = now_us();
		int end = next_phase(s, now);

		if (end) {
			*code = end < 0;
			return;
		}
		for (int i = 0; i < s->plan->nr_areas; i++)
			if (s->plan->areas[i].base)
				s->plan->areas[i].intervals_us += now - before;
		before = now;
		if (s->plan->duration_us && now - s->began_us >= s->plan->duration_us)
			return;
		flush_tlb(s);
		perform(s, now);
		if (report_asked || (s->plan->report_us && now >= s->next_report_us)) {
			report_asked = 0;
			s->next_report_us = now + s->plan->report_us;
			report(s, "report");
		}
		tick += TICK_US;
		now = now_us();
		if (now < tick) {
			struct timespec ts = { 0, (long)(tick - now) * 1000 };

			nanosleep(&ts, NULL);
		} else {
			tick = now;
		}
	}
}

static void catch_signals(void)
{
	struct sigaction stop = { .sa_handler = on_stop }, tell = { .sa_handler = on_report };

	sigaction(SIGTERM, &stop, NULL);
	sigaction(SIGINT, &stop, NULL);
	sigaction(SIGUSR1, &tell, NULL);
	signal(SIGPIPE, SIG_IGN);
}

int process_run(struct plan *plan, int index, int ready_fd, int start_fd)
{
	struct state s = { .plan = plan, .index = index, .rnd = plan->seed * 1000003 + (uint64_t)index };
	char byte = 0;
	int code = 0, end;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	catch_signals();
	if (plan->tlb_flush == 1 || (plan->tlb_flush == 2 && emulated())) {
		s.flush_area = mmap(NULL, FLUSH_PAGES * PAGE, PROT_READ | PROT_WRITE,
				    MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
		if (s.flush_area == MAP_FAILED)
			s.flush_area = NULL;
		else
			memset(s.flush_area, 1, FLUSH_PAGES * PAGE);
	}
	for (int i = 0; i < plan->nr_areas; i++)
		if (plan->areas[i].process == index && plan->areas[i].mapped && map_area(&s, &plan->areas[i]))
			return 1;
	/* All processes begin together: say ready, wait for the parent to close the other pipe. */
	if (write(ready_fd, &byte, 1) != 1)
		return 1;
	close(ready_fd);
	while (read(start_fd, &byte, 1) < 0 && errno == EINTR && !stop_asked)
		;
	s.began_us = s.reported_us = now_us();
	s.next_report_us = s.began_us + plan->report_us;
	report(&s, "ready");
	end = enter_phase(&s, plan->phases, s.began_us);
	if (!end)
		loop(&s, &code);
	else
		code = end < 0;
	report(&s, "end");
	return code;
}
