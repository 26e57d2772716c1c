// SPDX-License-Identifier: GPL-2.0-only
/* The touches of one row of a window: which page comes at which step, whether it is touched then, and by a write. */
#include <math.h>

#include "replay.h"

#define MOST_STEPS 1e15 /* of a row in a window: more are dropped anyway */

/* splitmix64's mixer */
uint64_t replay_mix(uint64_t v)
{
	v += 0x9E3779B97F4A7C15ull;
	v = (v ^ (v >> 30)) * 0xBF58476D1CE4E5B9ull;
	v = (v ^ (v >> 27)) * 0x94D049BB133111EBull;
	return v ^ (v >> 31);
}

static double unit(uint64_t v)
{
	return (double)(v >> 11) * 0x1p-53;
}

int replay_part(const struct replay *r, const struct area *a, uint32_t n, struct part *part)
{
	const struct trace_row row = r->schedule->rows[n];
	uint64_t start = row.start, end = trace_row_end(&row), pages = a->size / PAGE;

	start = start > r->first ? start - r->first : 0;
	end = end > r->first ? end - r->first : 0;
	if (end > r->nr_pages)
		end = r->nr_pages;
	if (start >= end)
		return 0;
	part->page = trace_scaled_page(r->size_scale, start);
	end = trace_scaled_page(r->size_scale, end);
	if (end > pages)
		end = pages;
	part->touches = trace_row_touches(&row);
	if (part->page >= end || !(part->touches > 0.0))
		return 0;
	part->nr = end - part->page;
	part->steps = fmin(ceil(part->touches) * (double)part->nr, MOST_STEPS);
	part->phase = unit(replay_mix(part->page * 2 + 1));
	part->write = row.nr_write >> 24;
	return 1;
}

/*
 * Is the page touched in sweep number k of a window, and how: 0, 1 to read, 2 to write. On average as often as the
 * window has it; a fraction of a touch is one or none by chance.
 */
static int touched(const struct part *part, uint64_t key, uint64_t page, uint64_t k)
{
	double whole = floor(part->touches), rest = part->touches - whole;
	uint64_t v = 0;

	if (rest > 0.0 || (part->write && part->write < 255))
		v = replay_mix(key ^ page * 0xD1342543DE82EF95ull);
	/* One sweep of a page that has one too many leaves it out, any one. */
	if (rest > 0.0 && unit(v) >= rest && k == replay_mix(v) % ((uint64_t)whole + 1))
		return 0;
	v = replay_mix(v + 1) % 255;
	return 1 + ((v + (k + 1) * part->write) / 255 > (v + k * part->write) / 255);
}

/* What is late is dropped, but for the first touch of a page: without it the page would never be in memory. */
void replay_steps(struct state *s, const struct replay *r, uint32_t n, const struct part *part, double upto,
		  uint64_t due)
{
	struct schedule *c = r->schedule;
	struct area *a = &s->plan->areas[r->area];
	uint64_t from = (uint64_t)c->done[n], to = (uint64_t)upto, page = from % part->nr, k = from / part->nr;

	c->done[n] = upto;
	if (!a->base)
		return;
	for (uint64_t i = from; i < to; i++) {
		int how, late;

		if (!s->pace--) {
			look(s);
			flush_tlb(s, s->now);
		}
		if (s->now > due && s->now - due > s->late_us)
			s->late_us = s->now - due;
		late = s->now > due + CATCH_UP_US;
		/* a page that is left out of one sweep is not of the other */
		if ((late && (!a->absent || k > 1)) || stop_asked) {
			s->dropped += (uint64_t)((double)(to - i) * part->touches / ceil(part->touches) + 0.5);
			return;
		}
		how = touched(part, c->key, part->page + page, k);
		if (how && late && a->last_interval[part->page + page])
			s->dropped++;
		else if (how)
			touch_page(a, part->page + page, how == 2, s->interval);
		if (++page == part->nr)
			page = 0, k++;
	}
}
