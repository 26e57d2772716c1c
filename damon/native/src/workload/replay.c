// SPDX-License-Identifier: GPL-2.0-only
/* Areas that replay traces: window after window, slot after slot, and when they are mapped. */
#define _GNU_SOURCE
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "replay.h"

#define MOST_SLOTS 65536

int set_up_replays(struct state *s)
{
	for (int i = 0; i < s->plan->nr_replays; i++) {
		struct replay *r = &s->plan->replays[i];

		if (s->plan->areas[r->area].process != s->index)
			continue;
		r->schedule = calloc(1, sizeof(*r->schedule));
		if (!r->schedule) {
			perror("damon-workload: the schedule of a trace");
			return -1;
		}
	}
	return 0;
}

static const struct trace_window *table(const struct state *s, const struct replay *r)
{
	return (const struct trace_window *)(s->plan->files[r->file].data + r->table);
}

/* The clock at a time since the part's begin, in a round of it. */
static uint64_t clock_at(const struct state *s, const struct replay *r, int64_t round, double ns)
{
	double us = ((double)round * (double)r->length + ns) * r->time_scale / 1000.0;

	return us < 1e18 ? s->began_us + (uint64_t)us : NEVER;
}

/* Where a time of the file is in the window: 0 to 1, of all steps. */
static double way(const struct trace_window *w, int64_t t)
{
	double at = (double)(t - w->t0) / (double)(w->t1 - w->t0);

	return at < 0.0 ? 0.0 : at > 1.0 ? 1.0 : at;
}

/* The first step of a row that is not before a place on the way. */
static double first_step(const struct part *part, double at)
{
	double step = at >= 1.0 ? part->steps : ceil(at * part->steps - part->phase);

	return step < 0.0 ? 0.0 : step > part->steps ? part->steps : step;
}

/* The row waits for the slot of its next step, at the earliest for this one. */
static void wait_for(struct schedule *c, uint32_t n, const struct part *part, uint32_t earliest)
{
	double at = (c->done[n] + part->phase) / part->steps * (double)c->nr_slots;
	uint32_t slot = at < (double)c->nr_slots ? (uint32_t)at : c->nr_slots - 1;

	slot = slot < earliest ? earliest : slot;
	c->next[n] = c->first[slot];
	c->first[slot] = n;
}

/* Memory for the rows and slots of a window; 0, or -1. */
static int make_room(struct schedule *c)
{
	void *slots = realloc(c->first, c->nr_slots * sizeof(*c->first));

	if (slots)
		c->first = slots;
	if (slots && c->nr_rows > c->room) {
		void *next = realloc(c->next, c->nr_rows * sizeof(*c->next));
		void *done = realloc(c->done, c->nr_rows * sizeof(*c->done));

		c->next = next ? next : c->next;
		c->done = done ? done : c->done;
		c->room = next && done ? c->nr_rows : c->room;
	}
	if (slots && c->nr_rows <= c->room)
		return 0;
	fprintf(stderr, "damon-workload: trace: %u rows of a window: do not fit into memory; use a smaller part\n",
		c->nr_rows);
	return -1;
}

/* The rows of the area in the schedule's window. */
static void find_rows(const struct state *s, const struct replay *r)
{
	struct schedule *c = r->schedule;
	const struct trace_row *rows = trace_rows(s->plan->files[r->file].data, &c->w);
	uint32_t from = trace_rows_before(rows, c->w.nr, r->first, 1);
	uint32_t to = trace_rows_before(rows, c->w.nr, r->first + r->nr_pages, 0);

	if (from && trace_row_end(&rows[from - 1]) > r->first)
		from--;
	c->rows = rows + from;
	c->nr_rows = to > from ? to - from : 0;
}

static int enter_window(struct state *s, const struct replay *r)
{
	struct schedule *c = r->schedule;
	double span = (double)(c->w.t1 - c->w.t0) * r->time_scale / 1000.0 / (double)s->plan->round_us;
	double from = way(&c->w, r->begin);
	struct part part;

	find_rows(s, r);
	/* None is shorter than a round, or the last one would be late for the window. */
	c->nr_slots = span < 1.0 ? 1 : span < MOST_SLOTS ? (uint32_t)span : MOST_SLOTS;
	if (make_room(c))
		return -1;
	memset(c->first, 0xff, c->nr_slots * sizeof(*c->first));
	c->slot = (uint32_t)(from * (double)c->nr_slots);
	c->key = replay_mix(s->plan->seed ^ replay_mix((uint64_t)r->area ^ replay_mix((uint64_t)c->round)));
	c->key = replay_mix(c->key ^ c->window);
	for (uint32_t n = 0; n < c->nr_rows; n++) {
		if (!replay_part(r, &s->plan->areas[r->area], n, &part))
			continue;
		c->done[n] = first_step(&part, from);
		if (c->done[n] < part.steps)
			wait_for(c, n, &part, c->slot);
	}
	c->inside = 1;
	return 0;
}

/* The window to be performed next, which is not there yet; 0: none in this round, -1: failed. */
static int find_window(struct state *s, const struct replay *r)
{
	struct schedule *c = r->schedule;

	if (!c->begun) {
		c->window = r->nr_windows ? trace_window_after(table(s, r), r->nr_windows, r->begin) : 0;
		c->begun = 1;
	}
	if (c->window >= r->nr_windows)
		return 0;
	c->w = table(s, r)[c->window];
	if (!trace_window_is_sound(&c->w, s->plan->files[r->file].size, 0, r->space_pages)) {
		fprintf(stderr, "damon-workload: trace: window %lu: has changed; do not change a file during a run\n",
			c->window);
		return -1;
	}
	return c->w.t0 < r->begin + r->length;
}

/* When touches are due next. */
static uint64_t next_touches(struct state *s, const struct replay *r, int *found)
{
	struct schedule *c = r->schedule;
	double ns;

	*found = 1;
	if (c->inside) {
		ns = (double)(c->w.t0 - r->begin) + (double)c->slot / (double)c->nr_slots * (double)(c->w.t1 - c->w.t0);
		return clock_at(s, r, c->round, ns > 0.0 ? ns : 0.0);
	}
	*found = find_window(s, r);
	if (*found > 0)
		return clock_at(s, r, c->round, c->w.t0 > r->begin ? (double)(c->w.t0 - r->begin) : 0.0);
	return r->loop || *found < 0 ? clock_at(s, r, c->round, (double)r->length) : NEVER;
}

/* The steps of a slot, of all rows that wait for it. */
static void perform_slot(struct state *s, const struct replay *r, uint64_t due)
{
	struct schedule *c = r->schedule;
	double end = way(&c->w, r->begin + r->length);
	double upto = (double)(c->slot + 1) / (double)c->nr_slots;
	struct part part;

	if (c->slot + 1 == c->nr_slots)
		upto = 1.0;
	for (uint32_t n = c->first[c->slot], next; n != NO_ROW; n = next) {
		double to;

		next = c->next[n];
		if (!replay_part(r, &s->plan->areas[r->area], n, &part))
			continue;
		to = first_step(&part, upto < end ? upto : end);
		if (to > c->done[n])
			replay_steps(s, r, n, &part, to, due);
		if (to < part.steps && c->slot + 1 < c->nr_slots)
			wait_for(c, n, &part, c->slot + 1);
	}
	c->slot++;
	c->inside = c->slot < c->nr_slots && upto < end;
	c->window += !c->inside;
}

/* When the area is mapped or unmapped next. */
static uint64_t next_turn(const struct state *s, const struct replay *r)
{
	const struct schedule *c = r->schedule;

	return c->turn < r->nr_turns ? clock_at(s, r, c->turn_round, (double)r->turns[c->turn].at) : NEVER;
}

uint64_t next_turn_of_all(const struct state *s)
{
	uint64_t first = NEVER;

	for (int i = 0; i < s->plan->nr_replays; i++) {
		const struct replay *r = &s->plan->replays[i];
		uint64_t turn = r->schedule ? next_turn(s, r) : NEVER;

		first = turn < first ? turn : first;
	}
	return first;
}

static int perform_turn(struct state *s, const struct replay *r)
{
	struct schedule *c = r->schedule;
	struct area *a = &s->plan->areas[r->area];

	count_time(s);
	if (r->turns[c->turn].mapped ? map_area(s, a) : (unmap_area(a), 0))
		return -1;
	s->changed = 1;
	if (++c->turn == r->nr_turns && r->loop)
		c->turn = 0, c->turn_round++;
	look(s);
	return 0;
}

/* What is due next, if it is due by then. 1: there was something, 0: not yet, -1: failed. */
static int perform_next(struct state *s, const struct replay *r, uint64_t by)
{
	struct schedule *c = r->schedule;
	uint64_t turn = next_turn(s, r), due;
	int found;

	due = next_touches(s, r, &found);
	if (found < 0)
		return -1;
	if (turn <= due && turn <= by)
		return perform_turn(s, r) ? -1 : 1;
	if (due > by)
		return 0;
	if (!found) { /* the round is over */
		c->round++;
		c->begun = 0;
		return 1;
	}
	if (!c->inside)
		return enter_window(s, r) ? -1 : 1;
	perform_slot(s, r, due);
	return 1;
}

int perform_replays(struct state *s, uint64_t by)
{
	for (int i = 0; i < s->plan->nr_replays; i++) {
		const struct replay *r = &s->plan->replays[i];
		uint64_t until;
		int more = 1;

		if (!r->schedule)
			continue;
		look(s);
		until = s->now + CATCH_UP_US;
		/* A trace that repeats faster than it can be performed must not keep the others from their turn. */
		for (uint32_t k = 1; more > 0 && !stop_asked && s->now <= until; k++) {
			more = perform_next(s, r, by);
			if (k % CLOCK_EVERY == 0)
				look(s);
		}
		if (more < 0)
			return -1;
	}
	return 0;
}
