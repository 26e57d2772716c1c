/* SPDX-License-Identifier: GPL-2.0-only */
/* From a frame to its page. Each sample and each folio goes through here, so all of it is inlined. */
#ifndef PYDAMON_SIM_PLACE_H
#define PYDAMON_SIM_PLACE_H

#include "sim.h"

/*
 * The extent that the last page was found in: samples and walks go by address, so the next one often is there too.
 * Then the part of one that is in one resource: nr pages of an area, their frames, and the numbers of these.
 */
struct sim_hint {
	const struct sim_ext *ext;
	uint32_t area, near;
	uint64_t pfn, nr, frame, page;
};

/* A frame, and which page it is said to be; `sample` is the caller's. */
struct sim_place {
	uint64_t frame, index;
	uint32_t area, sample;
};

/* The page that the reverse map has for at->frame: 1 if it has one. No page's state or record is looked at. */
static inline int sim_locate(const struct sim_machine *m, struct sim_place *at)
{
	uint64_t v = m->block[at->frame >> SIM_BLOCK_SHIFT];

	if (v == SIM_LEAF) {
		v = m->leaf[at->frame];
		if (!v)
			return 0;
		at->area = (uint32_t)(v >> SIM_PAGE_BITS) - 1;
		at->index = v & SIM_PAGE_MASK;
		return (int)m->area[at->area].mapped;
	}
	if (v) {
		const struct sim_ext *x;

		at->area = (uint32_t)(v >> 32) - 2;
		x = &m->area[at->area].ext[(uint32_t)v];
		at->index = x->page + (at->frame - x->frame);
		return at->frame - x->frame < x->nr;
	}
	return 0;
}

/*
 * Is the page that sim_locate() found still in that frame? Of a huge folio it becomes the first one. *hint starts zero
 * and is only good for as long as nothing is mapped or unmapped.
 */
static inline int sim_settle(const struct sim_machine *m, struct sim_place *at, struct sim_hint *hint)
{
	const struct sim_area *a = &m->area[at->area];
	const struct sim_ext *x = hint->ext;
	unsigned int st = sim_st(a, at->index);

	if (st == ST_VALID)
		return a->page[at->index].flags & PG_PRESENT && a->page[at->index].frame == at->frame;
	if (st == ST_TAIL) {
		int here = sim_page_frame(a, at->index) == at->frame;

		at->index &= ~(SIM_BLOCK - 1);
		return here;
	}
	if (at->index >= a->nr_bulk)
		return 0;
	if (!x || hint->area != at->area || at->index - x->page >= x->nr) {
		x = hint->ext = sim_area_ext(a, at->index);
		hint->area = at->area;
	}
	return x->frame + (at->index - x->page) == at->frame;
}

/* Is there a page in frame number pfn, one of that part of the extent? -1: ask the reverse map. */
static inline int sim_near(const struct sim_machine *m, uint64_t pfn, const struct sim_hint *hint, uint64_t *index)
{
	const struct sim_area *a = &m->area[hint->near];
	uint64_t past = pfn - hint->pfn;
	unsigned int st;

	if (past >= hint->nr)
		return -1;
	*index = hint->page + past;
	st = sim_st(a, *index);
	if (st < ST_VALID ||
	    (st == ST_VALID && a->page[*index].flags & PG_PRESENT && a->page[*index].frame == hint->frame + past))
		return 1;
	return sim_used(m, hint->frame + past) ? -1 : 0;
}

/* A pristine page in a frame of resource r was found in the hint's extent. */
static inline void sim_remember(const struct sim_res *r, struct sim_hint *hint)
{
	const struct sim_ext *x = hint->ext;
	uint64_t frame = x->frame > r->frame ? x->frame : r->frame;
	uint64_t end = x->frame + x->nr < r->frame + r->nr ? x->frame + x->nr : r->frame + r->nr;

	hint->near = hint->area;
	hint->pfn = r->pfn + (frame - r->frame);
	hint->nr = end - frame;
	hint->frame = frame;
	hint->page = x->page + (frame - x->frame);
}

/* The page that the reverse map has for frame number pfn of resource r, 1 if there is one. */
static inline int sim_look_up(const struct sim_machine *m, uint64_t pfn, const struct sim_res *r, struct sim_hint *hint,
			      struct sim_place *at)
{
	at->frame = r->frame + (pfn - r->pfn);
	if (!sim_used(m, at->frame) || !sim_locate(m, at) || !sim_settle(m, at, hint))
		return 0;
	if (sim_st(&m->area[at->area], at->index) < ST_VALID)
		sim_remember(r, hint);
	return 1;
}

/* The mapped page (of a huge folio the first one) in frame number pfn, 1 if there is one. */
static inline int sim_resolve(struct sim_machine *m, uint64_t pfn, struct sim_hint *hint, uint32_t *area,
			      uint64_t *index)
{
	struct sim_place at;
	uint64_t n = m->nr_res;
	int near = sim_near(m, pfn, hint, index);

	*area = hint->near;
	if (near >= 0)
		return near;
	while (n && pfn - m->res[n - 1].pfn >= m->res[n - 1].nr) /* the biggest is the last */
		n--;
	if (!n || !sim_look_up(m, pfn, &m->res[n - 1], hint, &at))
		return 0;
	*area = at.area;
	*index = at.index;
	return 1;
}

#endif
