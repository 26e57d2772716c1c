// SPDX-License-Identifier: GPL-2.0-only
/* The next touches of absent pages, as events in a heap by time. */
#include "sim.h"
#include "sim_math.h"

static int before(const struct sim_event *a, const struct sim_event *b)
{
	return a->t < b->t || (a->t == b->t && a->id < b->id);
}

static void sift_down(struct sim_machine *m, uint64_t at)
{
	struct sim_event ev = m->event[at];

	for (;;) {
		uint64_t child = 2 * at + 1;

		if (child >= m->nr_event)
			break;
		if (child + 1 < m->nr_event && before(&m->event[child + 1], &m->event[child]))
			child++;
		if (!before(&m->event[child], &ev))
			break;
		m->event[at] = m->event[child];
		at = child;
	}
	m->event[at] = ev;
}

static void update_next(struct sim_machine *m)
{
	m->next_event = m->nr_event ? m->event[0].t : SIM_NEVER;
}

void sim_event_push(struct sim_machine *m, int64_t t, uint32_t area, uint64_t page, uint64_t nr)
{
	struct sim_event ev = { t, m->next_id++, page, nr, area, area == SIM_KSWAPD ? 0 : m->area[area].epoch };
	uint64_t at = m->nr_event++;

	while (at && before(&ev, &m->event[(at - 1) / 2])) {
		m->event[at] = m->event[(at - 1) / 2];
		at = (at - 1) / 2;
	}
	m->event[at] = ev;
	update_next(m);
}

void sim_event_pop(struct sim_machine *m, struct sim_event *out)
{
	*out = m->event[0];
	m->event[0] = m->event[--m->nr_event];
	if (m->nr_event)
		sift_down(m, 0);
	update_next(m);
}

/* Forget the events of areas that changed. */
EXPORT void sim_event_purge(struct sim_machine *m)
{
	uint64_t nr = 0;

	for (uint64_t n = 0; n < m->nr_event; n++) {
		const struct sim_event *ev = &m->event[n];

		if (ev->area == SIM_KSWAPD || ev->epoch == m->area[ev->area].epoch)
			m->event[nr++] = *ev;
	}
	m->nr_event = nr;
	for (uint64_t n = nr / 2; n-- > 0;)
		sift_down(m, n);
	update_next(m);
}

/* An event for touch number from or later of the range (deterministic patterns). */
static void schedule_touch(struct sim_machine *m, uint32_t area, uint64_t page, uint64_t nr, uint64_t from)
{
	const struct sim_seg *s = sim_seg_now(&m->area[area]);
	uint64_t k;

	if (nr && sim_seg_next(s, page, nr, from, &k)) {
		int64_t t = sim_seg_time(s, k);

		if (t != SIM_NEVER)
			sim_event_push(m, t, area, page, nr);
	}
}

/*
 * An event for the first touch after t of an absent page in the range. For zipf the range is taken as evenly hot as its
 * first page; what is too much is rejected when the event comes (thinning).
 */
void sim_event_schedule(struct sim_machine *m, uint32_t area, uint64_t page, uint64_t nr, int64_t t)
{
	const struct sim_seg *s = sim_seg_now(&m->area[area]);
	double rate, dt, left;

	if (s->pattern == PATTERN_NONE || !nr)
		return;
	if (s->pattern == PATTERN_STRIDED) {
		schedule_touch(m, area, page, nr, sim_seg_count(s, t));
		return;
	}
	left = -sim_log(sim_uniform(m->seed, area, m->next_id, DRAW_NEXT));
	if (s->pattern == PATTERN_TRACE) {
		int64_t next = sim_trace_next(&m->area[area], page, nr, t, left);

		if (next != SIM_NEVER)
			sim_event_push(m, next, area, page, nr);
		else
			m->next_id++; /* the same draw must not decide for others */
		return;
	}
	rate = sim_seg_weight(s, page) * (double)nr * s->rate;
	dt = left / rate;
	if (dt < 1e18)
		sim_event_push(m, t + 1 + (int64_t)dt, area, page, nr);
}

/* The page has just left memory: an event must stand for its next touch, unless a pending one already does. */
void sim_event_cover(struct sim_machine *m, uint32_t area, uint64_t index, struct sim_page *p, int64_t t)
{
	if (p->covered == m->area[area].epoch)
		p->covered = 0;
	else
		sim_event_schedule(m, area, index, 1, t);
}

static void schedule_range(struct sim_machine *m, uint32_t area, uint64_t page, uint64_t end, int64_t t)
{
	int zipf = sim_seg_now(&m->area[area])->pattern == PATTERN_ZIPF;

	while (page < end) {
		uint64_t stop = end;

		if (zipf) { /* ranks up to the next power of two: the rejected share stays small */
			uint64_t power = 1;

			while (power <= page + 1)
				power *= 2;
			if (power - 1 < stop)
				stop = power - 1;
		}
		sim_event_schedule(m, area, page, stop - page, t);
		page = stop;
	}
}

/* Events for all absent pages of an area whose accesses begin or change at t. */
EXPORT void sim_event_area(struct sim_machine *m, uint32_t area, int64_t t)
{
	const struct sim_area *a = &m->area[area];
	uint64_t run = 0;

	if (sim_seg_now(a)->pattern == PATTERN_NONE || a->nr_present == a->nr_pages)
		return;
	for (uint64_t n = 0; n < a->nr_pages; n++) {
		if (!sim_page_present(a, n))
			continue;
		schedule_range(m, area, run, n, t);
		run = n + 1;
	}
	schedule_range(m, area, run, a->nr_pages, t);
}

/* What is left of a group without page i. */
static void schedule_rest(struct sim_machine *m, const struct sim_event *ev, uint64_t i)
{
	sim_event_schedule(m, ev->area, ev->page, i - ev->page, ev->t);
	sim_event_schedule(m, ev->area, i + 1, ev->page + ev->nr - i - 1, ev->t);
}

/*
 * A group's time has come: which page is it? What is left of the group gets new events (a Poisson process may be
 * drawn afresh from any moment). 1: *index is touched at ev->t and was not in memory when the event was made.
 */
int sim_event_fire(struct sim_machine *m, const struct sim_event *ev, uint64_t *index)
{
	const struct sim_area *a = &m->area[ev->area];
	const struct sim_seg *s = sim_seg_now(a);
	uint64_t k, i;

	if (s->pattern == PATTERN_STRIDED) {
		if (!sim_seg_next(s, ev->page, ev->nr, sim_seg_count(s, ev->t - 1), &k))
			return 0;
		i = k % s->period * s->stride / 4096;
		schedule_touch(m, ev->area, ev->page, i - ev->page, k + 1);
		schedule_touch(m, ev->area, i + 1, ev->page + ev->nr - i - 1, k + 1);
	} else if (s->pattern == PATTERN_TRACE) {
		if (!sim_trace_pick(a, ev->page, ev->nr, ev->t, sim_uniform(m->seed, ev->area, ev->id, DRAW_WHICH),
				    sim_uniform(m->seed, ev->area, ev->id, DRAW_ACCEPT), &i)) {
			sim_event_schedule(m, ev->area, ev->page, ev->nr, ev->t);
			return 0;
		}
		schedule_rest(m, ev, i);
	} else {
		i = ev->page;
		if (ev->nr > 1)
			i += (uint64_t)(sim_uniform(m->seed, ev->area, ev->id, DRAW_WHICH) * (double)ev->nr);
		if (i >= ev->page + ev->nr)
			i = ev->page + ev->nr - 1;
		if (s->pattern == PATTERN_ZIPF && i != ev->page &&
		    sim_uniform(m->seed, ev->area, ev->id, DRAW_ACCEPT) * sim_seg_weight(s, ev->page) >
			    sim_seg_weight(s, i)) {
			sim_event_schedule(m, ev->area, ev->page, ev->nr, ev->t);
			return 0;
		}
		schedule_rest(m, ev, i);
	}
	*index = i;
	return 1;
}
