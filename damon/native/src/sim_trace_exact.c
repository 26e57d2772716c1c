// SPDX-License-Identifier: GPL-2.0-only
/*
 * Traces with exact counts: a page with k touches in a window has them at even distances, a kth of the window, and one
 * of them at the page's own place in it. The places are in the order of the pages, so the first of many pages that is
 * touched at its place is found by binary search. Damaged counts give wrong moments, all of them in the window.
 */
#include <stddef.h>

#include "sim_trace.h"

static double whole(double x)
{
	double below = (double)(int64_t)x;

	return below > x ? below - 1.0 : below;
}

/* A page's place in a window, 0 to 1. */
static double place(const struct sim_trace *tr, uint64_t page)
{
	return ((double)page + 0.5) / ((double)tr->nr_pages * tr->size_scale + 1.0);
}

static int64_t moment(const struct trace_window *w, double way)
{
	/* Never at the very begin, which is the end of the time before. */
	return w->t0 + 1 + (int64_t)(way * (double)(w->t1 - w->t0 - 1));
}

/* Of one page. */
static int64_t of_page(const struct sim_trace *tr, const struct trace_window *w, uint64_t page, int64_t a, int64_t b,
		       int back)
{
	double touches = trace_touches(tr, w, page, 1), own = place(tr, page), k, j, span = (double)(w->t1 - w->t0);

	if (!(touches > 0.0))
		return -1;
	k = touches < 1.0 ? 1.0 : whole(touches + 0.5);
	j = whole(((double)((back ? b : a) - w->t0) / span - own) * k) + (back ? 1.0 : -1.0);
	/* Rounding can be wrong by one. */
	for (int n = 0; n < 4; n++, j += back ? -1.0 : 1.0) {
		double way = own + j / k;
		int64_t at = moment(w, way);

		if (way >= 0.0 && way < 1.0 && at >= a && at < b)
			return at;
	}
	return -1;
}

/* The first page from page on whose place is not before a moment. */
static uint64_t page_from(const struct sim_trace *tr, const struct trace_window *w, uint64_t page, uint64_t end,
			  int64_t at)
{
	uint64_t lo = page, hi = end;

	while (lo < hi) {
		uint64_t mid = lo + (hi - lo) / 2;

		if (moment(w, place(tr, mid)) < at)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

int64_t trace_exact_moment(const struct sim_trace *tr, const struct trace_window *w, uint64_t page, uint64_t nr,
			   int64_t a, int64_t b, int back)
{
	uint64_t end = page + nr, n;
	int64_t best = -1;

	if (nr == 1)
		return of_page(tr, w, page, a, b, back);
	if (!back) { /* pages that are not there: each comes at its place */
		n = trace_touched_from(tr, w, page_from(tr, w, page, end, a), end);
		best = n < end ? moment(w, place(tr, n)) : -1;
		return best < b ? best : -1;
	}
	for (n = page; n < end; n++) { /* those of one folio */
		int64_t at;

		n = trace_touched_from(tr, w, n, end);
		at = n < end ? of_page(tr, w, n, a, b, 1) : -1;
		best = at > best ? at : best;
	}
	return best;
}

uint64_t trace_exact_page(const struct sim_trace *tr, const struct trace_window *w, uint64_t page, uint64_t nr,
			  int64_t at)
{
	return trace_touched_from(tr, w, page_from(tr, w, page, page + nr, at), page + nr);
}
