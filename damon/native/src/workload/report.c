// SPDX-License-Identifier: GPL-2.0-only
/* What a process says: one JSON object a line. Names need no escapes: the loader refuses quotes and backslashes. */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "process.h"

/* Of all processes: a pipe takes up to 4096 bytes at once, and a line of some thirty areas has more. */
static pthread_mutex_t *turn;

int set_up_reports(void)
{
	pthread_mutexattr_t shared;

	turn = mmap(NULL, sizeof(*turn), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (turn == MAP_FAILED) {
		perror("damon-workload: the lock of its output");
		return -1;
	}
	pthread_mutexattr_init(&shared);
	pthread_mutexattr_setpshared(&shared, PTHREAD_PROCESS_SHARED);
	pthread_mutexattr_setrobust(&shared, PTHREAD_MUTEX_ROBUST);
	pthread_mutex_init(turn, &shared);
	return 0;
}

static void put(const char *text, size_t length)
{
	while (length) {
		ssize_t n = write(STDOUT_FILENO, text, length);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			stop_asked = 1;
			return;
		}
		text += n, length -= (size_t)n;
	}
}

/*
 * One line at a time, so that those of several processes do not mix. Where a process was killed in the middle of one,
 * that line ends there. Without a reader the work has no purpose.
 */
static void emit(const char *text, size_t length)
{
	if (pthread_mutex_lock(turn) == EOWNERDEAD) {
		pthread_mutex_consistent(turn);
		put("\n", 1);
	}
	put(text, length);
	pthread_mutex_unlock(turn);
}

/* The share of (page, interval) pairs with a touch. */
static double share(const struct state *s, const struct area *a, uint64_t pairs, uint64_t us)
{
	double intervals = (double)us / (double)s->plan->interval_us, share;

	if (!us)
		return 0;
	share = (double)pairs / ((double)(a->size / PAGE) * intervals);
	return share > 1 ? 1 : share; /* an interval that has only begun counts as touched already */
}

static void print_area(FILE *out, struct state *s, struct area *a)
{
	fprintf(out,
		"{\"name\": \"%s\", \"start\": %lu, \"end\": %lu, \"touches\": %lu, \"share\": %.6f, "
		"\"recent_share\": %.6f}",
		a->name, (uint64_t)a->base, a->base ? (uint64_t)a->base + a->size : 0, a->touches,
		share(s, a, a->pairs, a->us), share(s, a, a->pairs - a->reported_pairs, a->us - a->reported_us));
	a->reported_base = a->base;
}

/* All areas of the process; or only those that were mapped or unmapped since, and then no count begins anew. */
static void print_areas(FILE *out, struct state *s, int whole)
{
	const char *comma = "";

	for (int i = 0; i < s->plan->nr_areas; i++) {
		struct area *a = &s->plan->areas[i];

		if (a->process != s->index || (!whole && a->reported_base == a->base))
			continue;
		fputs(comma, out);
		print_area(out, s, a);
		comma = ", ";
		if (whole) {
			a->reported_pairs = a->pairs;
			a->reported_us = a->us;
		}
	}
}

/* All touches of the process, and those that were not made in time. */
static uint64_t sum_up(const struct state *s, uint64_t *dropped)
{
	uint64_t touches = 0;

	*dropped = s->dropped;
	for (int i = 0; i < s->plan->nr_areas; i++)
		if (s->plan->areas[i].process == s->index)
			touches += s->plan->areas[i].touches;
	for (int p = 0; p < s->plan->nr_phases; p++)
		for (int i = 0; i < s->plan->phases[p].nr_accesses; i++)
			*dropped += s->plan->phases[p].accesses[i].dropped;
	return touches;
}

void report(struct state *s, const char *event)
{
	char *text = NULL;
	size_t length = 0;
	FILE *out = open_memstream(&text, &length);
	uint64_t now = now_us(), touches, dropped;
	int whole = strcmp(event, "areas") != 0;

	if (!out)
		return;
	count_time(s);
	touches = sum_up(s, &dropped);
	s->changed = 0;
	fprintf(out,
		"{\"event\": \"%s\", \"process\": \"%s\", \"pid\": %d, \"seconds\": %.3f, \"phase\": \"%s\", "
		"\"touches\": %lu, \"touches_per_second\": %.0f, \"dropped\": %lu, \"late_us\": %lu, \"interval_us\": "
		"%lu, "
		"\"tlb_flush\": %s, \"unlocked_bytes\": %zu, \"areas\": [",
		event, s->plan->processes[s->index].name, (int)getpid(), (double)(now - s->began_us) / 1e6,
		s->phase ? s->phase->name : "", touches,
		(double)(touches - s->reported_touches) * 1e6 / (double)(now - s->reported_us + 1), dropped, s->late_us,
		s->plan->interval_us, s->flush_area ? "true" : "false", unlocked);
	print_areas(out, s, whole);
	fputs("]}\n", out);
	fclose(out);
	emit(text, length);
	free(text);
	if (!whole)
		return;
	s->reported_touches = touches;
	s->reported_us = now;
	s->late_us = 0;
}
