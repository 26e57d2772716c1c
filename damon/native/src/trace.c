// SPDX-License-Identifier: GPL-2.0-only
/* Making trace files, and checking them. */
#include <stddef.h>

#include "trace.h"

/* Touches before each TRACE_CHUNK-th row of nr; the touches of all of them. */
EXPORT double trace_sums(const struct trace_row *rows, uint32_t nr, double *chunks)
{
	double total = 0.0;

	for (uint32_t n = 0; n < nr; n++) {
		if (n % TRACE_CHUNK == 0)
			chunks[n / TRACE_CHUNK] = total;
		total += (double)trace_row_nr(&rows[n]) * trace_row_touches(&rows[n]);
	}
	return total;
}

/* In 255ths: neither nothing of what is written at all, nor everything of what is read at all. */
static uint32_t share_of_255(double writes, double touches)
{
	uint32_t share;

	if (!(writes > 0.0))
		return 0;
	if (!(writes < touches))
		return 255;
	share = (uint32_t)(writes / touches * 255.0 + 0.5);
	return share < 1 ? 1 : share > 254 ? 254 : share;
}

struct merge {
	const struct trace_row *row[TRACE_FANOUT], *end[TRACE_FANOUT];
	uint32_t k;
};

/* The sum of all rows at a page, and where it changes next; UINT64_MAX: nothing follows. */
static uint64_t merge_at(struct merge *m, uint64_t page, double *touches, double *writes)
{
	uint64_t next = UINT64_MAX;

	*touches = *writes = 0.0;
	for (uint32_t k = 0; k < m->k; k++) {
		uint64_t edge;

		while (m->row[k] < m->end[k] && trace_row_end(m->row[k]) <= page)
			m->row[k]++;
		if (m->row[k] == m->end[k])
			continue;
		edge = m->row[k]->start;
		if (edge <= page) {
			*touches += trace_row_touches(m->row[k]);
			*writes += trace_row_touches(m->row[k]) * trace_row_write(m->row[k]);
			edge = trace_row_end(m->row[k]);
		}
		next = edge < next ? edge : next;
	}
	return next;
}

/* Pages [page, end) behind the rows so far: joined with the last one if they are alike. How many rows there are. */
static uint32_t emit(struct trace_row *out, uint32_t nr, uint64_t page, uint64_t end, float touches, uint32_t write)
{
	while (page < end) {
		struct trace_row *last = nr ? &out[nr - 1] : NULL;
		uint64_t take = end - page;

		if (last && trace_row_end(last) == page && last->touches == touches && last->nr_write >> 24 == write &&
		    trace_row_nr(last) < TRACE_RUN) {
			if (take > TRACE_RUN - trace_row_nr(last))
				take = TRACE_RUN - trace_row_nr(last);
			last->nr_write += (uint32_t)take;
		} else {
			if (take > TRACE_RUN)
				take = TRACE_RUN;
			out[nr++] = (struct trace_row){ (uint32_t)page, (uint32_t)take | write << 24, touches };
		}
		page += take;
	}
	return nr;
}

/*
 * The sum of k windows' rows (pointers to them, and how many), which are in order. out has room for two rows for each
 * of theirs, and for one more for each TRACE_RUN pages. How many rows there are.
 */
EXPORT uint32_t trace_merge(const struct trace_row *const *rows, const uint32_t *nr, uint32_t k, struct trace_row *out)
{
	struct merge m = { .k = k };
	uint64_t page = 0, next;
	uint32_t made = 0;
	double touches, writes;

	for (uint32_t n = 0; n < k; n++) {
		m.row[n] = rows[n];
		m.end[n] = rows[n] + nr[n];
	}
	while ((next = merge_at(&m, page, &touches, &writes)) != UINT64_MAX) {
		if (touches > TRACE_MOST)
			touches = TRACE_MOST;
		if ((float)touches > 0.0f)
			made = emit(out, made, page, next, (float)touches, share_of_255(writes, touches));
		page = next;
	}
	return made;
}

/* Are a window's rows in order, on the space's pages, and its sums theirs? */
static int rows_are_sound(const uint8_t *data, const struct trace_window *w, uint64_t nr_pages)
{
	const struct trace_row *rows = trace_rows(data, w);
	const double *chunks = trace_chunks(data, w);
	double total = 0.0;
	uint64_t page = 0;

	for (uint32_t n = 0; n < w->nr; n++) {
		if (n % TRACE_CHUNK == 0 && !(chunks[n / TRACE_CHUNK] == total))
			return 0;
		if (rows[n].start < page || !trace_row_nr(&rows[n]) || !(rows[n].touches > 0.0f) ||
		    !((double)rows[n].touches <= TRACE_MOST))
			return 0;
		total += (double)trace_row_nr(&rows[n]) * trace_row_touches(&rows[n]);
		page = trace_row_end(&rows[n]);
	}
	return page <= nr_pages && w->total == total;
}

/* Does window n of a level span its part of the level below? */
static int spans(const struct trace_window *w, uint64_t n, const struct trace_window *below, uint64_t nr_below)
{
	uint64_t first = n * TRACE_FANOUT, last = first + TRACE_FANOUT - 1;

	if (first >= nr_below)
		return 0;
	if (last >= nr_below)
		last = nr_below - 1;
	return w->t0 == below[first].t0 && w->t1 == below[last].t1;
}

/*
 * A level's windows, in a table of nr at offset table of a file of size bytes: the number of the first one that is not
 * as it has to be, or nr. below: the table of the level below, of nr_below; rows: check the rows, too.
 */
EXPORT uint64_t trace_check(const uint8_t *data, uint64_t size, uint64_t table, uint64_t nr, uint64_t below,
			    uint64_t nr_below, uint64_t nr_pages, int rows)
{
	const struct trace_window *w = (const struct trace_window *)(data + table);
	int64_t after = 0;

	for (uint64_t n = 0; n < nr; n++) {
		if (!trace_window_is_sound(&w[n], size, after, nr_pages))
			return n;
		if (nr_below && !spans(&w[n], n, (const struct trace_window *)(data + below), nr_below))
			return n;
		if (rows && !rows_are_sound(data, &w[n], nr_pages))
			return n;
		after = w[n].t1;
	}
	return nr;
}
