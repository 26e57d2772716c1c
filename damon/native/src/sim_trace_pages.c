// SPDX-License-Identifier: GPL-2.0-only
/* Which pages a trace file's windows have touches of, and how many: by binary search in rows and sums. */
#include <stddef.h>

#include "sim_trace.h"

/* The row that a page of the space is on, or NULL. */
static const struct trace_row *row_of(const struct sim_trace *tr, const struct trace_window *w, uint64_t page)
{
	const struct trace_row *rows = trace_rows(tr->data, w);
	uint32_t n = trace_rows_before(rows, w->nr, page, 1);

	return n && page < trace_row_end(&rows[n - 1]) ? &rows[n - 1] : NULL;
}

/* Touches of the pages of the space before this one. */
double trace_touches_before(const struct sim_trace *tr, const struct trace_window *w, uint64_t page)
{
	const struct trace_row *rows = trace_rows(tr->data, w);
	uint32_t n = trace_rows_before(rows, w->nr, page, 0), at;
	double total;

	if (!n)
		return 0.0;
	at = (n - 1) & ~(uint32_t)(TRACE_CHUNK - 1);
	total = trace_chunks(tr->data, w)[at / TRACE_CHUNK];
	for (; at < n; at++) {
		uint64_t nr = trace_row_nr(&rows[at]);

		if (page - rows[at].start < nr)
			nr = page - rows[at].start;
		total += (double)nr * trace_row_touches(&rows[at]);
	}
	return total;
}

/* The file's page that stands for one of the area's. */
static uint64_t file_page(const struct sim_trace *tr, uint64_t page)
{
	uint64_t at = tr->size_scale == 1.0 ? page : (uint64_t)((double)page / tr->size_scale);

	return at < tr->nr_pages ? at : tr->nr_pages - 1;
}

/* The area's first page that one of the file's, or a later one, stands for. */
static uint64_t area_page(const struct sim_trace *tr, uint64_t at)
{
	return trace_scaled_page(tr->size_scale, at);
}

/* The most pages of the area that one of the file's stands for. */
static double most_pages(const struct sim_trace *tr)
{
	double whole = (double)(uint64_t)tr->size_scale;

	return whole < tr->size_scale ? whole + 1.0 : whole;
}

/* The first page of the area from page on, before end, that has touches in a window; or end. */
uint64_t trace_touched_from(const struct sim_trace *tr, const struct trace_window *w, uint64_t page, uint64_t end)
{
	const struct trace_row *rows = trace_rows(tr->data, w);
	uint64_t at = tr->first + file_page(tr, page), found = page;
	uint32_t n = trace_rows_before(rows, w->nr, at, 1);

	if (n && at < trace_row_end(&rows[n - 1]) && trace_row_touches(&rows[n - 1]) > 0.0)
		return page < end ? page : end;
	while (n < w->nr && !(trace_row_touches(&rows[n]) > 0.0))
		n++;
	if (n < w->nr && rows[n].start >= tr->first && rows[n].start - tr->first < tr->nr_pages) {
		found = area_page(tr, rows[n].start - tr->first);
		if (found > page && found < end)
			return found;
	}
	return end;
}

/* Touches of a few pages of a scaled area, one run of them that is alike after the other. */
static double scaled_touches(const struct sim_trace *tr, const struct trace_window *w, uint64_t page, uint64_t nr)
{
	const struct trace_row *rows = trace_rows(tr->data, w);
	uint64_t end = page + nr;
	double total = 0.0;

	while (page < end) {
		uint64_t at = tr->first + file_page(tr, page), edge = UINT64_MAX, next;
		uint32_t n = trace_rows_before(rows, w->nr, at, 1);
		double each = 0.0;

		if (n && at < trace_row_end(&rows[n - 1])) {
			each = trace_row_touches(&rows[n - 1]);
			edge = trace_row_end(&rows[n - 1]);
		} else if (n < w->nr) {
			edge = rows[n].start;
		}
		next = edge - tr->first < tr->nr_pages && edge > at ? area_page(tr, edge - tr->first) : end;
		next = next > page ? next : page + 1;
		total += (double)((next < end ? next : end) - page) * each;
		page = next;
	}
	return total;
}

/* Of many pages of a scaled area only a bound is known; what is too much is rejected later. */
static int is_bound(const struct sim_trace *tr, uint64_t nr)
{
	return tr->size_scale != 1.0 && nr > SIM_BLOCK;
}

/* Touches of pages of the area in a window. */
double trace_touches(const struct sim_trace *tr, const struct trace_window *w, uint64_t page, uint64_t nr)
{
	uint64_t from = tr->first + file_page(tr, page), to;
	const struct trace_row *row;
	double total;

	if (nr == 1) {
		row = row_of(tr, w, from);
		return row ? trace_row_touches(row) : 0.0;
	}
	if (tr->size_scale != 1.0 && !is_bound(tr, nr))
		return scaled_touches(tr, w, page, nr);
	to = tr->first + file_page(tr, page + nr - 1) + 1;
	total = trace_touches_before(tr, w, to) - trace_touches_before(tr, w, from);
	total = tr->size_scale == 1.0 ? total : total * most_pages(tr);
	return total > 0.0 ? total : 0.0; /* also what is no number */
}

/* The window that a time of the file is in, or NULL. */
const struct trace_window *trace_window_at(const struct sim_trace *tr, int64_t at)
{
	uint64_t n = trace_window_after(window(tr, 0, 0), tr->nr[0], at);

	return n < tr->nr[0] && window(tr, 0, n)->t0 <= at ? window(tr, 0, n) : NULL;
}

/* The share of writes among the touches of one page of the area, and the writes. */
double trace_write(const struct sim_trace *tr, const struct trace_window *w, uint64_t page)
{
	const struct trace_row *row = row_of(tr, w, tr->first + file_page(tr, page));

	return row ? trace_row_write(row) : 0.0;
}

double trace_writes(const struct sim_trace *tr, const struct trace_window *w, uint64_t page)
{
	return trace_touches(tr, w, page, 1) * trace_write(tr, w, page);
}

/* The mean share of trace_touches() that so many pages really have. */
double trace_certain(const struct sim_trace *tr, uint64_t nr)
{
	return is_bound(tr, nr) ? tr->size_scale / most_pages(tr) : 1.0;
}

/* The page of the file's space with touch number x of those in a window. */
static uint64_t page_of_touch(const struct sim_trace *tr, const struct trace_window *w, double x)
{
	const struct trace_row *rows = trace_rows(tr->data, w);
	const double *chunks = trace_chunks(tr->data, w);
	uint64_t lo = 0, hi = trace_nr_chunks(w->nr);
	double before;

	while (hi - lo > 1) {
		uint64_t mid = (lo + hi) / 2;

		if (chunks[mid] <= x)
			lo = mid;
		else
			hi = mid;
	}
	before = chunks[lo];
	for (uint64_t n = lo * TRACE_CHUNK; n < w->nr; n++) {
		double each = trace_row_touches(&rows[n]), here = (double)trace_row_nr(&rows[n]) * each;

		if (n + 1 == w->nr || n % TRACE_CHUNK == TRACE_CHUNK - 1 || x < before + here) {
			uint64_t way = x > before && each > 0.0 ? (uint64_t)((x - before) / each) : 0;

			return rows[n].start + (way < trace_row_nr(&rows[n]) ? way : trace_row_nr(&rows[n]) - 1);
		}
		before += here;
	}
	return 0;
}

/* As page_of_touch() for few pages of a scaled area: its page. */
static uint64_t scaled_page_of_touch(const struct sim_trace *tr, const struct trace_window *w, uint64_t page,
				     uint64_t nr, double x)
{
	uint64_t last = page;

	for (uint64_t n = page; n < page + nr; n++) {
		double here = trace_touches(tr, w, n, 1);

		last = here > 0.0 ? n : last;
		if (here > 0.0 && x < here)
			break;
		x -= here;
	}
	return last;
}

/*
 * The page that a touch of one of [page, page + nr) at t hits; u and slot are from (0, 1]. 0: there is none, where the
 * pages were only bounded, or where scaled time has left the window.
 */
static int pick(const struct sim_area *a, uint64_t page, uint64_t nr, int64_t t, double u, double slot, uint64_t *index)
{
	const struct sim_trace *tr = a->trace;
	const struct trace_window *w = window_now(tr, t);
	uint64_t from = tr->first + file_page(tr, page), to = tr->first + file_page(tr, page + nr - 1) + 1, at;
	double low, high;

	if (!w || !((high = trace_touches(tr, w, page, nr)) > 0.0))
		return 0;
	if (nr == 1) {
		*index = page;
		return 1;
	}
	if (tr->size_scale != 1.0 && !is_bound(tr, nr)) {
		*index = scaled_page_of_touch(tr, w, page, nr, (1.0 - u) * high);
		return 1;
	}
	low = trace_touches_before(tr, w, from);
	high = trace_touches_before(tr, w, to);
	at = page_of_touch(tr, w, low + (1.0 - u) * (high - low));
	at = (at < from ? from : at >= to ? to - 1 : at) - tr->first;
	*index = area_page(tr, at) + (uint64_t)((1.0 - slot) * (is_bound(tr, nr) ? most_pages(tr) : 1.0));
	return *index >= page && *index < page + nr && file_page(tr, *index) == at;
}

/* As pick(), of an event: in an exact capture the moment shows the page. */
int sim_trace_pick(const struct sim_area *a, uint64_t page, uint64_t nr, int64_t t, double u, double slot,
		   uint64_t *index)
{
	const struct trace_window *w = a->trace->exact && nr > 1 ? window_now(a->trace, t) : NULL;

	if (!w)
		return pick(a, page, nr, t, u, slot, index);
	/* Scaled times are rounded. */
	*index = trace_exact_page(a->trace, w, page, nr,
				  file_time(a->trace, t) - 2 - (int64_t)(2.0 / a->trace->time_scale));
	return *index < page + nr;
}

/* The page of the area that touch u, from (0, 1], of those at t hits; -1: there is none. */
EXPORT int64_t sim_trace_page(const struct sim_area *a, int64_t t, double u, double slot)
{
	uint64_t index;

	return pick(a, 0, a->nr_pages, t, u, slot, &index) ? (int64_t)index : -1;
}
