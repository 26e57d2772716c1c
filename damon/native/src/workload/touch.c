// SPDX-License-Identifier: GPL-2.0-only
/* Touching pages: the order of each pattern, the pace, and the note of which page was touched in which interval. */
#include <math.h>
#include <stdlib.h>

#include "process.h"

#define SLICE_ROUNDS 2		/* then it is another access's turn */

/* splitmix64 */
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

/* Bytes from one touch to the next of a pass in order; 0 of other patterns. */
static uint64_t stride_of(const struct access *a)
{
	return a->pattern == STRIDED ? a->stride : a->pattern == SEQUENTIAL ? PAGE : 0;
}

int set_up_access(struct state *s, struct access *a)
{
	struct area *area = &s->plan->areas[a->area];
	uint64_t pages = area->size / PAGE, stride = stride_of(a);
	double sum = 0;

	a->done = 0;
	if (area->stride != stride || area->phase_number + 1 != s->phase_number)
		area->position = 0;
	area->stride = stride;
	area->phase_number = s->phase_number;
	if (a->pattern != ZIPF || a->cumulative || s->plan->areas[a->area].process != s->index)
		return 0;
	a->cumulative = malloc(pages * sizeof(double));
	if (!a->cumulative) {
		perror("damon-workload: the table of zipf weights");
		return -1;
	}
	keep_in_memory(a->cumulative, pages * sizeof(double));
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

static uint64_t next_page(struct state *s, const struct access *a, struct area *area)
{
	uint64_t page;

	switch (a->pattern) {
	case SEQUENTIAL:
	case STRIDED:
		page = area->position / PAGE;
		area->position = area->position + area->stride >= area->size ? 0 : area->position + area->stride;
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
	uint64_t write_below = (uint64_t)(a->write_share * 0x1p63), began = now_us(), i;
	uint32_t interval = 0;

	for (i = 0; i < count; i++) {
		uint64_t page;
		int writes;

		if (i % CLOCK_EVERY == 0) {
			uint64_t now = now_us();

			if (now - began > SLICE_ROUNDS * s->plan->round_us)
				break;
			flush_tlb(s, now);
			interval = interval_of(s, now);
		}
		page = next_page(s, a, area);
		writes = a->write_share >= 1 || (a->write_share > 0 && next_random(s) >> 1 < write_below);
		touch_page(area, page, writes, interval);
	}
	a->done += i;
}

/* Touches of an access that are due by a time of its phase, and the part of the next one. */
static double due_by(const struct state *s, const struct access *a, uint64_t now)
{
	return (double)(now - s->phase_began_us) / 1e6 * a->rate + s->plan->areas[a->area].owed;
}

void finish_phase(struct state *s, uint64_t end)
{
	perform(s, end);
	for (int i = 0; i < s->phase->nr_accesses; i++) {
		struct access *a = &s->phase->accesses[i];
		struct area *area = &s->plan->areas[a->area];
		double left = due_by(s, a, end) - (double)a->done;

		if (!area->base)
			continue;
		left = left > 0 ? left : 0;
		a->dropped += (uint64_t)left;
		area->owed = left - (double)(uint64_t)left;
	}
}

void perform(struct state *s, uint64_t now)
{
	for (int i = 0; i < s->phase->nr_accesses; i++) {
		struct access *a = &s->phase->accesses[i];
		uint64_t due = (uint64_t)due_by(s, a, now), most = (uint64_t)(a->rate * CATCH_UP_US / 1e6) + 1;

		if (!s->plan->areas[a->area].base || due <= a->done)
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
