// SPDX-License-Identifier: GPL-2.0-only
/*
 * Accesses that a trace file has recorded. In each of its windows every page is touched as a Poisson process of a
 * constant rate, so what sim_access.c says of random patterns holds: when the last touch was, or the next one will be,
 * is where one exponential number of touches is used up. Windows that it cannot be in are passed over by levels.
 */
#include <stddef.h>

#include "sim_trace.h"

/* A search through the file's time [a, b): for one moment, or for the sum of it all. */
struct search {
	const struct sim_trace *tr;
	uint64_t page, nr;
	int64_t a, b;
	double left, passed; /* touches that it still takes, and has passed */
	int back, writes; /* from b down, not from a up; only writes count */
	int64_t found;
};

#define ENDLESS 1e300
#define SURE 64.0 /* a page that is written once in an exact capture is dirty */

static double touches_here(const struct search *s, const struct trace_window *w)
{
	return s->writes ? trace_writes(s->tr, w, s->page) : trace_touches(s->tr, w, s->page, s->nr);
}

static void pass(struct search *s, double touches)
{
	s->left -= touches;
	s->passed += touches;
}

/* A window of level 0: is the moment in it? */
static int search_window(struct search *s, const struct trace_window *w, double touches)
{
	int64_t from = s->a > w->t0 ? s->a : w->t0, to = s->b < w->t1 ? s->b : w->t1, way;
	double span = (double)(to - from), here = touches * (span / (double)(w->t1 - w->t0));

	if (s->tr->exact && !s->writes && s->left < ENDLESS) {
		s->found = trace_exact_moment(s->tr, w, s->page, s->nr, from, to, s->back);
		return s->found >= 0;
	}
	if (!(s->left < here)) {
		pass(s, here);
		return 0;
	}
	way = (int64_t)(s->left / here * span);
	if (way >= to - from)
		way = to - from - 1;
	s->found = s->back ? to - 1 - way : from + way;
	return 1;
}

/* Recursive as the levels are, which are few. 1: found. */
static int search_level(struct search *s, uint32_t level, uint64_t n)
{
	const struct trace_window *w = window(s->tr, level, n);
	uint64_t first = n * TRACE_FANOUT, nr;
	double touches;

	if (w->t1 <= s->a || w->t0 >= s->b)
		return 0;
	touches = touches_here(s, w);
	if (!(touches > 0.0))
		return 0;
	if (!level)
		return search_window(s, w, touches);
	if (w->t0 >= s->a && w->t1 <= s->b && !(s->left < touches)) {
		pass(s, touches);
		return 0;
	}
	nr = s->tr->nr[level - 1] - first < TRACE_FANOUT ? s->tr->nr[level - 1] - first : TRACE_FANOUT;
	for (uint64_t k = 0; k < nr; k++)
		if (search_level(s, level - 1, first + (s->back ? nr - 1 - k : k)))
			return 1;
	return 0;
}

static int search(struct search *s, int64_t a, int64_t b)
{
	uint32_t top = s->tr->nr_levels - 1;

	if (!s->tr->nr_levels)
		return 0;
	s->a = a;
	s->b = b;
	if (s->back && a < b) { /* most searches end in the last window */
		const struct trace_window *w = trace_window_at(s->tr, b - 1);
		double touches = w ? touches_here(s, w) : 0.0;

		if (touches > 0.0 && search_window(s, w, touches))
			return 1;
		if (w)
			s->b = w->t0;
	}
	for (uint64_t k = 0; s->a < s->b && k < s->tr->nr[top]; k++)
		if (search_level(s, top, s->back ? s->tr->nr[top] - 1 - k : k))
			return 1;
	return 0;
}

/* Pass as many of some rounds as there are touches left for, at least one: how many. */
static int64_t pass_rounds(struct search *s, int64_t rounds, double touches)
{
	double most = touches > 0.0 ? s->left / touches : (double)rounds;
	int64_t skip = most < (double)rounds ? (int64_t)most : rounds;

	skip = skip > 1 ? skip : 1;
	pass(s, (double)skip * touches);
	return skip;
}

/* As search(), in time since the begin, [a, b): rounds that are whole are passed over in one step. */
static int search_rounds(struct search *s, int64_t a, int64_t b)
{
	const struct sim_trace *tr = s->tr;
	int64_t len = tr->length, first, last, step = s->back ? -1 : 1;
	struct search round = *s;

	if (!tr->loop && b > len)
		b = len;
	if (a >= b)
		return 0;
	first = s->back ? (b - 1) / len : a / len;
	last = s->back ? a / len : (b - 1) / len;
	for (int64_t k = first;; k += step) {
		int64_t from = k * len, low = a > from ? a - from : 0, high = b - from < len ? b - from : len;

		if (k != first && k != last) { /* a whole one */
			if (k == first + step) {
				round.left = ENDLESS;
				round.passed = 0.0;
				search(&round, tr->begin, tr->begin + len);
			}
			if (!(s->left < round.passed)) {
				k += step * (pass_rounds(s, s->back ? k - last : last - k, round.passed) - 1);
				continue;
			}
		}
		if (search(s, tr->begin + low, tr->begin + high)) {
			s->found += from - tr->begin;
			return 1;
		}
		/* What is cut off a window of an exact capture can have the moment of all rounds. */
		if (k == last || (tr->exact && (k - first) * step >= 2 && s->left < ENDLESS))
			return 0;
	}
}

/* The last touch of pages in (lo, to] when *left touches are to be passed, which is what it is used up to; or -1. */
int64_t sim_trace_last(const struct sim_area *a, uint64_t page, uint64_t nr, int64_t lo, int64_t to, double *left)
{
	struct search s = { .tr = a->trace, .page = page, .nr = nr, .left = *left, .back = 1 };
	int64_t t;

	if (s.tr->exact)
		s.left = 0.0;

	if (!search_rounds(&s, since(s.tr, lo), since(s.tr, to))) {
		*left = s.tr->exact ? *left : s.left;
		return -1;
	}
	t = time_of(s.tr, s.found);
	return t <= lo ? lo + 1 : t > to ? to : t;
}

/* The first touch of pages after t when left touches are to be passed, or SIM_NEVER. */
int64_t sim_trace_next(const struct sim_area *a, uint64_t page, uint64_t nr, int64_t t, double left)
{
	struct search s = { .tr = a->trace, .page = page, .nr = nr, .left = a->trace->exact ? 0.0 : left };
	int64_t from = since(s.tr, t), found;

	if (!search_rounds(&s, from, s.tr->loop ? INT64_MAX - 2 * s.tr->length : s.tr->length))
		return SIM_NEVER;
	found = time_of(s.tr, s.found);
	return found > t ? found : t + 1;
}

/* Writes of a page in (lo, to], and their share of its touches at t. */
double sim_trace_writes(const struct sim_area *a, uint64_t page, int64_t lo, int64_t to)
{
	struct search s = { .tr = a->trace, .page = page, .nr = 1, .left = ENDLESS, .back = 1, .writes = 1 };

	search_rounds(&s, since(s.tr, lo), since(s.tr, to));
	return s.tr->exact ? s.passed * SURE : s.passed;
}

EXPORT double sim_trace_write(const struct sim_area *a, uint64_t page, int64_t t)
{
	const struct trace_window *w = window_now(a->trace, t);

	return w ? trace_write(a->trace, w, page) : 0.0;
}

/* Touches of all pages in (lo, to]; of a scaled area the mean of what it can be. */
EXPORT double sim_trace_touches(const struct sim_area *a, int64_t lo, int64_t to)
{
	struct sim_trace whole = *a->trace;
	struct search s = { .tr = &whole, .nr = whole.nr_pages, .left = ENDLESS, .back = 1 };

	whole.size_scale = 1.0;
	search_rounds(&s, since(&whole, lo), since(&whole, to));
	return s.passed * a->trace->size_scale;
}

#define MOST_STAGES 1024

/*
 * What touches cost is summed over stages, the windows of the finest level with few of them: within one they are taken
 * as evenly spread. From t on the area is in the stage of t; the time at which the next one begins, or SIM_NEVER.
 */
EXPORT int64_t sim_trace_stage(struct sim_machine *m, uint32_t area, int64_t t)
{
	struct sim_area *a = &m->area[area];
	const struct sim_trace *tr = a->trace;
	struct sim_seg *s = &a->seg[a->nr_seg - 1];
	int64_t at = file_time(tr, t), next = tr->begin + tr->length;
	uint32_t level = 0;
	uint64_t n;

	while (level + 1 < tr->nr_levels && tr->nr[level] > MOST_STAGES)
		level++;
	n = at < 0 ? tr->nr[level] : trace_window_after(window(tr, level, 0), tr->nr[level], at);
	sim_latency_settle(a, t);
	s->period = level;
	s->base = n;
	s->rate = s->share = 0.0;
	if (n < tr->nr[level]) {
		const struct trace_window *w = window(tr, level, n);

		if (w->t0 <= at) {
			double touches = trace_touches_before(tr, w, tr->first + tr->nr_pages) -
					 trace_touches_before(tr, w, tr->first);

			if (touches > 0.0) {
				s->share = 1.0 / (touches * tr->size_scale);
				s->rate = touches * tr->size_scale / ((double)(w->t1 - w->t0) * tr->time_scale);
			}
		}
		if ((w->t0 <= at ? w->t1 : w->t0) < next)
			next = w->t0 <= at ? w->t1 : w->t0;
	}
	sim_latency_area(m, area);
	if (at < 0 || (next == tr->begin + tr->length && !tr->loop && n >= tr->nr[level]))
		return SIM_NEVER;
	next = time_of(tr, since(tr, t) - (at - tr->begin) + (next - tr->begin));
	return next > t ? next : t + 1;
}

/* The share of the touches in the stage that pages have. */
double sim_trace_weights(const struct sim_area *a, uint64_t page, uint64_t nr)
{
	const struct sim_seg *s = sim_seg_now(a);
	const struct sim_trace *tr = a->trace;

	if (!(s->share > 0.0) || !nr)
		return 0.0;
	return trace_touches(tr, window(tr, (uint32_t)s->period, s->base), page, nr) * trace_certain(tr, nr) * s->share;
}
