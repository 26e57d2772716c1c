// SPDX-License-Identifier: GPL-2.0-only
/* What a process says: one JSON object a line. Names need no escapes: the loader refuses quotes and backslashes. */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "process.h"

/* A line in one write(), so that lines of several processes do not mix. Without a reader the work has no purpose. */
static void emit(const char *text, size_t length)
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
	a->reported_pairs = a->pairs;
	a->reported_us = a->us;
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
	const char *comma = "";

	if (!out)
		return;
	count_time(s);
	touches = sum_up(s, &dropped);
	fprintf(out,
		"{\"event\": \"%s\", \"process\": \"%s\", \"pid\": %d, \"seconds\": %.3f, \"phase\": \"%s\", "
		"\"touches\": %lu, \"touches_per_second\": %.0f, \"dropped\": %lu, \"late_us\": %lu, \"interval_us\": "
		"%lu, "
		"\"tlb_flush\": %s, \"areas\": [",
		event, s->plan->processes[s->index].name, (int)getpid(), (double)(now - s->began_us) / 1e6,
		s->phase ? s->phase->name : "", touches,
		(double)(touches - s->reported_touches) * 1e6 / (double)(now - s->reported_us + 1), dropped, s->late_us,
		s->plan->interval_us, s->flush_area ? "true" : "false");
	for (int i = 0; i < s->plan->nr_areas; i++) {
		if (s->plan->areas[i].process != s->index)
			continue;
		fputs(comma, out);
		print_area(out, s, &s->plan->areas[i]);
		comma = ", ";
	}
	fputs("]}\n", out);
	fclose(out);
	emit(text, length);
	free(text);
	s->reported_touches = touches;
	s->reported_us = now;
	s->late_us = 0;
}
