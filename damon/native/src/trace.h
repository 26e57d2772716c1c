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

#endif
