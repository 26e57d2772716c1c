// SPDX-License-Identifier: GPL-2.0-only
/* Page frames: free runs and the reverse map frame -> page. */
#include <string.h>

#include "sim.h"

/* Frames of which none is used by a page from now on, or each is. */
static void set_vacant(struct sim_machine *m, uint64_t frame, uint64_t nr, int vacant)
{
	for (uint64_t end = frame + nr; frame < end;) {
		uint64_t word = frame >> 6, from = frame & 63, left = end - (frame - from);
		uint64_t to = left < 64 ? left : 64;
		uint64_t mask = (to == 64 ? 0 : ~0ull << to) ^ (~0ull << from);

		if (vacant) {
			m->vacant[word] |= mask;
		} else {
			m->used[frame >> (SIM_BLOCK_SHIFT + 6)] |= 1ull << (frame >> SIM_BLOCK_SHIFT & 63);
			if (m->vacant[word] & mask) /* what was never free is not written to: it costs no memory */
				m->vacant[word] &= ~mask;
		}
		frame += to - from;
	}
}

static void set_rmap(struct sim_machine *m, uint64_t frame, uint32_t area, uint64_t index)
{
	uint64_t b = frame >> SIM_BLOCK_SHIFT, v = m->block[b];

	if (v != SIM_LEAF) {
		uint64_t first = b << SIM_BLOCK_SHIFT;
		const struct sim_ext *x = v ? &m->area[(v >> 32) - 2].ext[(uint32_t)v] : NULL;

		for (uint64_t f = first; f < first + SIM_BLOCK; f++) {
			m->leaf[f] = 0;
			if (x && f - x->frame < x->nr)
				m->leaf[f] = ((v >> 32) - 1) << SIM_PAGE_BITS | (x->page + (f - x->frame));
		}
		m->block[b] = SIM_LEAF;
		if (!x) /* the rest of the block has no page */
			set_vacant(m, first, SIM_BLOCK, 1);
	}
	m->leaf[frame] = (uint64_t)(area + 1) << SIM_PAGE_BITS | index;
	set_vacant(m, frame, 1, 0);
}

/* The frame freed last (or the next never used) becomes this page's. The caller knows that one is free. */
uint64_t sim_frame_alloc(struct sim_machine *m, uint64_t node, uint32_t area, uint64_t index)
{
	struct sim_node *n = &m->node[node];
	uint64_t frame;

	if (m->buddy) {
		frame = sim_buddy_alloc(m);
	} else {
		struct sim_free *top = &m->free[node][n->nr_free_runs - 1];

		frame = top->frame++;
		if (!--top->nr)
			n->nr_free_runs--;
	}
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

	if (m->nr_isolated && nr > 1) {
		for (uint64_t i = 0; i < nr; i++)
			sim_frame_free(m, frame + i, 1);
		return;
	}
	if (nr == 1)
		m->vacant[frame >> 6] |= 1ull << (frame & 63);
	else
		set_vacant(m, frame, nr, 1);
	if (m->nr_isolated && frame - m->isolated < m->nr_isolated)
		return;
	n->nr_free += nr;
	n->huge_free += nr;
	if (m->buddy) {
		for (uint64_t i = 0; i < nr; i++)
			sim_buddy_free(m, frame + i);
	} else if (top && frame == top->frame + top->nr) {
		top->nr += nr;
	} else if (top && frame + nr == top->frame) {
		top->frame = frame;
		top->nr += nr;
	} else {
		runs[n->nr_free_runs].frame = frame;
		runs[n->nr_free_runs++].nr = nr;
	}
}

static int by_frame(const struct sim_free *a, const struct sim_free *b)
{
	return a->frame < b->frame;
}

static int by_size(const struct sim_free *a, const struct sim_free *b)
{
	return a->nr > b->nr || (a->nr == b->nr && a->frame < b->frame);
}

/* Heapsort: in place, and no two runs are equal. */
static void sort(struct sim_free *runs, uint64_t nr, int (*before)(const struct sim_free *, const struct sim_free *))
{
	for (uint64_t heap = nr / 2, end = nr; end > 1;) {
		struct sim_free moved;
		uint64_t at, child;

		if (heap) {
			moved = runs[at = --heap];
		} else {
			moved = runs[--end];
			runs[end] = runs[0];
			at = 0;
		}
		for (; (child = 2 * at + 1) < end; at = child) {
			if (child + 1 < end && before(&runs[child], &runs[child + 1]))
				child++;
			if (!before(&moved, &runs[child]))
				break;
			runs[at] = runs[child];
		}
		runs[at] = moved;
	}
}

/* Join free runs, as the buddy allocator does all the time; the smallest are used first afterwards. */
static void merge(struct sim_free *runs, uint64_t *nr)
{
	uint64_t to = 0;

	sort(runs, *nr, by_frame);
	for (uint64_t n = 1; n < *nr; n++)
		if (runs[to].frame + runs[to].nr == runs[n].frame)
			runs[to].nr += runs[n].nr;
		else
			runs[++to] = runs[n];
	*nr = *nr ? to + 1 : 0;
	sort(runs, *nr, by_size);
}

/* The first free frames of a huge folio, whose first page frame number is a multiple of its size. */
static int find_huge(const struct sim_machine *m, uint64_t node, uint64_t *run, uint64_t *frame)
{
	for (uint64_t n = 0; n < m->node[node].nr_free_runs; n++) {
		const struct sim_free *f = &m->free[node][n];

		/* A run may reach from one resource to the next. */
		for (uint64_t k = 0; f->nr >= SIM_BLOCK && k < m->nr_res; k++) {
			const struct sim_res *res = &m->res[k];
			uint64_t run_end = f->frame + f->nr, res_end = res->frame + res->nr;
			uint64_t at = f->frame > res->frame ? f->frame : res->frame;
			uint64_t end = run_end < res_end ? run_end : res_end;

			at += -(res->pfn + (at - res->frame)) & (SIM_BLOCK - 1);
			if (at + SIM_BLOCK <= end) {
				*run = n;
				*frame = at;
				return 1;
			}
		}
	}
	return 0;
}

/* Frames [frame, frame + nr) of free run number n are free no more. */
static void cut(struct sim_machine *m, uint64_t node, uint64_t n, uint64_t frame, uint64_t nr)
{
	struct sim_node *on = &m->node[node];
	struct sim_free *r = &m->free[node][n];
	uint64_t before = frame - r->frame, after = r->nr - before - nr;

	if (before && after) {
		memmove(r + 1, r, (on->nr_free_runs++ - n) * sizeof(*r));
		r->nr = before;
		r++;
	}
	if (after) {
		r->frame = frame + nr;
		r->nr = after;
	} else if (before) {
		r->nr = before;
	} else {
		memmove(r, r + 1, (on->nr_free_runs-- - n - 1) * sizeof(*r));
	}
	on->nr_free -= nr;
}

/* A frame of a free run is the next one that sim_frame_alloc() gives; else nothing happens. */
void sim_frame_prefer(struct sim_machine *m, uint64_t frame)
{
	uint64_t node = sim_node(m, frame);

	for (uint64_t n = m->node[node].nr_free_runs; n--;) {
		const struct sim_free *r = &m->free[node][n];

		if (frame - r->frame >= r->nr)
			continue;
		if (!m->buddy && n + 1 == m->node[node].nr_free_runs && frame == r->frame)
			return;
		cut(m, node, n, frame, 1);
		m->node[node].nr_free++;
		if (m->buddy) {
			sim_buddy_push(m, frame);
			return;
		}
		m->free[node][m->node[node].nr_free_runs].frame = frame;
		m->free[node][m->node[node].nr_free_runs++].nr = 1;
		return;
	}
}

/* The isolated frames of a node are free no more. */
void sim_frame_isolate(struct sim_machine *m, uint64_t node)
{
	for (uint64_t n = 0; n < m->node[node].nr_free_runs;) {
		const struct sim_free *r = &m->free[node][n];
		uint64_t first = r->frame > m->isolated ? r->frame : m->isolated, end = r->frame + r->nr;

		if (m->isolated + m->nr_isolated < end)
			end = m->isolated + m->nr_isolated;
		if (first < end)
			cut(m, node, n, first, end - first);
		else
			n++;
	}
}

/* Frames in one piece for the pages of a block; 0: there is no such piece. Nothing is moved to make one. */
int sim_frame_huge(struct sim_machine *m, uint64_t node, uint32_t area, uint64_t index, uint64_t *frame)
{
	struct sim_node *on = &m->node[node];
	uint64_t n;

	if (m->buddy) {
		if (!sim_buddy_alloc_block(m, SIM_BLOCK_SHIFT, frame))
			return 0;
		on->nr_free -= SIM_BLOCK;
		for (uint64_t i = 0; i < SIM_BLOCK; i++)
			set_rmap(m, *frame + i, area, index + i);
		return 1;
	}
	if (!find_huge(m, node, &n, frame)) {
		if (on->huge_free < SIM_BLOCK) /* too few came since the last time */
			return 0;
		on->huge_free = 0;
		merge(m->free[node], &on->nr_free_runs);
		if (!find_huge(m, node, &n, frame))
			return 0;
	}
	cut(m, node, n, *frame, SIM_BLOCK);
	for (uint64_t i = 0; i < SIM_BLOCK; i++)
		set_rmap(m, *frame + i, area, index + i);
	return 1;
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
			set_vacant(m, f, SIM_BLOCK, 0);
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
