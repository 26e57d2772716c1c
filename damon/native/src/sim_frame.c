// SPDX-License-Identifier: GPL-2.0-only
/* Page frames: free runs and the reverse map frame -> page. Twin: damon/mm/sim/reference/frames.py. */
#include <string.h>

#include "sim.h"

static void set_rmap(struct sim_machine *m, uint64_t frame, uint32_t area, uint64_t index)
{
	uint64_t b = frame >> SIM_BLOCK_SHIFT, v = m->block[b];

	if (v != SIM_LEAF) {
		uint64_t first = b << SIM_BLOCK_SHIFT;
		const struct sim_ext *x = v ? &m->area[(v >> 32) - 2].ext[(uint32_t)v] : NULL;

		for (uint64_t f = first; f < first + SIM_BLOCK; f++)
			m->leaf[f] = x && f - x->frame < x->nr ?
				((v >> 32) - 1) << SIM_PAGE_BITS | (x->page + (f - x->frame)) : 0;
		m->block[b] = SIM_LEAF;
	}
	m->leaf[frame] = (uint64_t)(area + 1) << SIM_PAGE_BITS | index;
}

/* The frame freed last (or the next never used) becomes this page's. The caller knows that one is free. */
uint64_t sim_frame_alloc(struct sim_machine *m, uint64_t node, uint32_t area, uint64_t index)
{
	struct sim_node *n = &m->node[node];
	struct sim_free *top = &m->free[node][n->nr_free_runs - 1];
	uint64_t frame = top->frame++;

	if (!--top->nr)
		n->nr_free_runs--;
	n->nr_free--;
	set_rmap(m, frame, area, index);
	return frame;
}

/* Frames of one node. Reverse map entries stay: whoever follows one checks that the page is still in that frame. */
void sim_frame_free(struct sim_machine *m, uint64_t frame, uint64_t nr)
{
	uint64_t node = sim_node(m, frame);
	struct sim_node *n = &m->node[node];
	struct sim_free *runs = m->free[node], *top = n->nr_free_runs ? &runs[n->nr_free_runs - 1] : NULL;

	n->nr_free += nr;
	if (top && frame == top->frame + top->nr) {
		top->nr += nr;
	} else if (top && frame + nr == top->frame) {
		top->frame = frame;
		top->nr += nr;
	} else {
		runs[n->nr_free_runs].frame = frame;
		runs[n->nr_free_runs++].nr = nr;
	}
}

static void bulk_ext(struct sim_machine *m, uint32_t area, uint64_t frame, uint64_t nr)
{
	struct sim_area *a = &m->area[area];
	struct sim_ext *x = &a->ext[a->nr_ext];
	uint64_t f = frame, end = frame + nr;

	x->page = a->nr_bulk;
	x->nr = nr;
	x->frame = frame;
	while (f < end) {
		if (!(f & (SIM_BLOCK - 1)) && end - f >= SIM_BLOCK) {
			m->block[f >> SIM_BLOCK_SHIFT] = (uint64_t)(area + 2) << 32 | a->nr_ext;
			f += SIM_BLOCK;
		} else {
			set_rmap(m, f, area, x->page + (f - frame));
			f++;
		}
	}
	a->nr_ext++;
	a->nr_bulk += nr;
}

/* Frames of a node for the area's next pages, up to nr, from free runs of at least a block. Moves nr_bulk on. */
void sim_frame_bulk(struct sim_machine *m, uint64_t node, uint32_t area, uint64_t nr)
{
	struct sim_node *from = &m->node[node];
	uint64_t n = 0;

	while (n < from->nr_free_runs && nr) {
		struct sim_free *r = &m->free[node][n];
		uint64_t take = r->nr < nr ? r->nr : nr;

		if (r->nr < SIM_BLOCK && r->nr < nr) {
			n++;
			continue;
		}
		bulk_ext(m, area, r->frame, take);
		r->frame += take;
		r->nr -= take;
		from->nr_free -= take;
		nr -= take;
		if (!r->nr) {
			memmove(r, r + 1, (from->nr_free_runs - n - 1) * sizeof(*r));
			from->nr_free_runs--;
		}
	}
}
