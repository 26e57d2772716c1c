/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Trace files: recorded accesses as rates over time. damon/workload/tracefile owns the format; here are its binary
 * parts, as they are in the file: little endian, aligned, never changed once written.
 *
 * A space is the pages of one process. Its time is cut in windows. In a window each row gives a run of pages and how
 * often each of them is touched; pages without a row are not touched. Windows form levels: one of level n + 1 is the
 * sum of TRACE_FANOUT of level n, so that what happened in any time is known from few of them.
 */
#ifndef PYDAMON_TRACE_H
#define PYDAMON_TRACE_H

#include "damon.h"

#define TRACE_FANOUT 16
#define TRACE_LEVELS 8
#define TRACE_CHUNK 16 /* rows of a window between two sums */
#define TRACE_MOST 1e12 /* touches of a page in a window */
#define TRACE_RUN ((1u << 24) - 1) /* pages of a row */

struct trace_row {
	uint32_t start; /* page of the space */
	uint32_t nr_write; /* pages; the share of writes, in 255ths, in the highest 8 bits */
	float touches; /* of each page */
};

/* The data of a window, at offset: the touches before each TRACE_CHUNK-th row (double), then the rows. */
struct trace_window {
	int64_t t0, t1; /* ns since the trace's begin */
	uint64_t offset;
	double total; /* touches of all pages */
	uint32_t nr, pad; /* rows */
};

static inline uint32_t trace_row_nr(const struct trace_row *r)
{
	return r->nr_write & TRACE_RUN;
}

static inline uint64_t trace_row_end(const struct trace_row *r)
{
	return (uint64_t)r->start + trace_row_nr(r);
}

static inline double trace_row_write(const struct trace_row *r)
{
	return (double)(r->nr_write >> 24) / 255.0;
}

/* A big file's rows are not checked when it is opened: what is no number of touches is none. */
static inline double trace_row_touches(const struct trace_row *r)
{
	double touches = (double)r->touches;

	return touches > 0.0 && touches <= TRACE_MOST ? touches : 0.0;
}

static inline uint64_t trace_nr_chunks(uint32_t nr)
{
	return ((uint64_t)nr + TRACE_CHUNK - 1) / TRACE_CHUNK;
}

static inline const double *trace_chunks(const uint8_t *data, const struct trace_window *w)
{
	return (const double *)(data + w->offset);
}

static inline const struct trace_row *trace_rows(const uint8_t *data, const struct trace_window *w)
{
	return (const struct trace_row *)(data + w->offset + trace_nr_chunks(w->nr) * sizeof(double));
}

/* The rows that begin before or, if at, on a page of the space: how many. */
static inline uint32_t trace_rows_before(const struct trace_row *rows, uint32_t nr, uint64_t page, int at)
{
	uint32_t lo = 0, hi = nr;

	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;

		if ((uint64_t)rows[mid].start < page + (uint64_t)at)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/* The first page of a scaled area that stands for page at or a later one: page p has what p / scale had. */
static inline uint64_t trace_scaled_page(double scale, uint64_t at)
{
	uint64_t page;

	if (scale == 1.0 || !at)
		return at;
	page = (uint64_t)((double)at * scale);
	while (page && (uint64_t)((double)(page - 1) / scale) >= at)
		page--;
	while ((uint64_t)((double)page / scale) < at)
		page++;
	return page;
}

/* The first window of a level that ends after a time of the file, or their number. */
static inline uint64_t trace_window_after(const struct trace_window *windows, uint64_t nr, int64_t at)
{
	uint64_t lo = 0, hi = nr;

	while (lo < hi) {
		uint64_t mid = lo + (hi - lo) / 2;

		if (windows[mid].t1 <= at)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/* Is a window of a file of size bytes, and of a space of nr_pages, one that can be used? Rows are another matter. */
static inline int trace_window_is_sound(const struct trace_window *w, uint64_t size, int64_t after, uint64_t nr_pages)
{
	uint64_t bytes = trace_nr_chunks(w->nr) * sizeof(double) + (uint64_t)w->nr * sizeof(struct trace_row);

	return w->t0 >= after && w->t1 > w->t0 && w->nr && w->nr <= nr_pages && w->offset % 8 == 0 &&
	       w->offset <= size && bytes <= size - w->offset && w->total >= 0.0 && w->total <= 1e30;
}

/* trace.c */
uint64_t trace_check(const uint8_t *data, uint64_t size, uint64_t table, uint64_t nr, uint64_t below, uint64_t nr_below,
		     uint64_t nr_pages, int rows);

#endif
