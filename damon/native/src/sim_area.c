// SPDX-License-Identifier: GPL-2.0-only
/* Areas that go, and whose accesses change. */
#include <sys/mman.h>

#include "sim.h"

/* The touches of the stretch that ends at t. */
static void close_seg(struct sim_area *a, int64_t t)
{
	const struct sim_seg *s = sim_seg_now(a);

	if (s->pattern == PATTERN_TRACE)
		a->touches += (uint64_t)sim_trace_touches(a, s->t0, t);
	else
		a->touches += (uint64_t)((double)(t - s->t0) * s->rate);
}

/* Free the frames of pages that only a run of the area's bulk state stands for. */
static void free_pristine(struct sim_machine *m, const struct sim_area *a, const struct sim_ext *x)
{
	uint64_t run = x->page, end = x->page + x->nr;

	for (uint64_t i = x->page; i < end; i++)
		if (sim_st(a, i) >= ST_VALID) {
			if (i > run)
				sim_frame_free(m, x->frame + (run - x->page), i - run);
			run = i + 1;
		}
	if (end > run)
		sim_frame_free(m, x->frame + (run - x->page), end - run);
}

/* Unmap: frames and swap slots are free again, nothing of the pages stays. */
EXPORT void sim_area_clear(struct sim_machine *m, uint32_t area, int64_t t)
{
	struct sim_area *a = &m->area[area];
	struct sim_process *process = &m->process[a->process];

	if (!a->mapped)
		return;
	for (uint32_t n = 0; n < a->nr_ext; n++) {
		free_pristine(m, a, &a->ext[n]);
		a->ext[n].nr = 0;
	}
	for (uint64_t i = 0; i < a->nr_pages; i++)
		if (!(i & 3) && !a->st[i >> 2])
			i += 3; /* four pristine ones */
		else if (sim_valid(a, i) && a->page[i].flags & PG_PRESENT)
			sim_frame_free(m, a->page[i].frame, sim_folio_nr(a, i));
		else if (sim_valid(a, i) && a->page[i].flags & PG_SWAPPED)
			sim_swap_free(m, area, &a->page[i]);
	sim_latency_settle(a, t);
	sim_residence_settle(a, t);
	a->touch_ns = 0.0;
	for (uint64_t n = 0; n < m->nr_node; n++) {
		sim_lru_count(m, area, n, sim_list(a, 1), -(int64_t)a->node_active[n]);
		sim_lru_count(m, area, n, sim_list(a, 0), -(int64_t)(a->node_present[n] - a->node_active[n]));
		m->node[n].kswapd_failures = 0;
		a->node_present[n] = a->node_active[n] = a->bulk_seq[n] = 0;
	}
	process->nr_present -= a->nr_present;
	process->nr_swapped -= a->nr_swapped;
	close_seg(a, t);
	a->nr_present = a->nr_swapped = a->nr_active = a->nr_huge = a->nr_evicted = 0;
	a->nr_bulk = a->nr_bulk_idle = 0;
	a->nr_ext = 0;
	a->mapped = 0;
	a->epoch++;
	madvise(a->page, a->nr_pages * sizeof(*a->page), MADV_DONTNEED);
	madvise(a->st, (a->nr_pages + 3) / 4, MADV_DONTNEED);
	madvise(a->thp, a->nr_pages / SIM_BLOCK + 1, MADV_DONTNEED);
}

/* What changes from t on for an area's accesses; *next is filled in but for base. */
EXPORT void sim_area_access(struct sim_machine *m, uint32_t area, struct sim_seg *next)
{
	struct sim_area *a = &m->area[area];
	struct sim_seg *s = &a->seg[a->nr_seg - 1];

	for (uint64_t n = 0; a->nr_bulk_idle && n < a->nr_bulk; n++)
		if (sim_st(a, n) == ST_IDLE)
			sim_page_get(m, area, n);
	if (s->pattern == PATTERN_STRIDED && next->pattern == PATTERN_STRIDED && s->stride == next->stride) {
		next->base = sim_seg_count(s, next->t0);
		next->owed = (double)(next->t0 - s->t0) * s->rate + s->owed - (double)(next->base - s->base);
		next->base %= s->period;
	}
	sim_latency_settle(a, next->t0);
	close_seg(a, next->t0);
	if (a->nr_seg == SIM_MAX_SEG) { /* a page that nobody looked at for so long was not touched before */
		__builtin_memmove(a->seg, a->seg + SIM_MAX_SEG / 2, SIM_MAX_SEG / 2 * sizeof(*s));
		a->nr_seg = SIM_MAX_SEG / 2;
	}
	a->seg[a->nr_seg++] = *next;
	a->epoch++;
	sim_latency_area(m, area);
}
