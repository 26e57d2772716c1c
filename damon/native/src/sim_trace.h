/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a trace file holds, as an area replays it. There are three kinds of time: the machine's; "since", the file's ns
 * since the replay began, rounds and all; and the file's. Pages are the area's, but those of a space of the file.
 */
#ifndef PYDAMON_SIM_TRACE_H
#define PYDAMON_SIM_TRACE_H

#include "sim.h"

static inline const struct trace_window *window(const struct sim_trace *tr, uint32_t level, uint64_t n)
{
	return (const struct trace_window *)(tr->data + tr->table[level]) + n;
}

/* sim_trace_pages.c */
const struct trace_window *trace_window_at(const struct sim_trace *tr, int64_t at);
double trace_touches(const struct sim_trace *tr, const struct trace_window *w, uint64_t page, uint64_t nr);
double trace_touches_before(const struct sim_trace *tr, const struct trace_window *w, uint64_t page);
double trace_write(const struct sim_trace *tr, const struct trace_window *w, uint64_t page);
double trace_writes(const struct sim_trace *tr, const struct trace_window *w, uint64_t page);
uint64_t trace_touched_from(const struct sim_trace *tr, const struct trace_window *w, uint64_t page, uint64_t end);
double trace_certain(const struct sim_trace *tr, uint64_t nr);

/*
 * sim_trace_exact.c: of a window of an exact capture, the last (back) or first moment of the file's time [a, b) at
 * which one of the pages is touched; -1: none.
 */
int64_t trace_exact_moment(const struct sim_trace *tr, const struct trace_window *w, uint64_t page, uint64_t nr,
			   int64_t a, int64_t b, int back);
/* The page that such a moment of many pages is of. */
uint64_t trace_exact_page(const struct sim_trace *tr, const struct trace_window *w, uint64_t page, uint64_t nr,
			  int64_t at);

/* ns since the begin at a time of the machine, and the first time at which so many have passed. */
static inline int64_t since(const struct sim_trace *tr, int64_t t)
{
	double ns;

	if (t <= tr->origin)
		return 0;
	if (tr->time_scale == 1.0)
		return t - tr->origin;
	ns = (double)(t - tr->origin) / tr->time_scale;
	return ns < 4e18 ? (int64_t)ns : (int64_t)4e18;
}

static inline int64_t time_of(const struct sim_trace *tr, int64_t ns)
{
	double t = (double)ns * tr->time_scale;

	if (t > 4e18)
		return SIM_NEVER;
	return tr->origin + (tr->time_scale == 1.0 ? ns : (int64_t)t + 1);
}

/* The file's time at a time of the machine, or -1 after its end. */
static inline int64_t file_time(const struct sim_trace *tr, int64_t t)
{
	int64_t ns = since(tr, t);

	if (ns >= tr->length && !tr->loop)
		return -1;
	return tr->begin + ns % tr->length;
}

static inline const struct trace_window *window_now(const struct sim_trace *tr, int64_t t)
{
	int64_t at = file_time(tr, t);

	return at < 0 ? NULL : trace_window_at(tr, at);
}

#endif
