/* SPDX-License-Identifier: GPL-2.0-only */
/* From a frame to its page. Each sample and each folio goes through here, so all of it is inlined. */
#ifndef PYDAMON_SIM_PLACE_H
#define PYDAMON_SIM_PLACE_H

#include "sim.h"

/* The extent that the last page was found in: samples and walks go by address, so the next one often is there too. */
struct sim_hint {
	const struct sim_ext *ext;
	uint32_t area;
};

/* A frame, and which page it is said to be; `sample` is the caller's. */
struct sim_place {
	uint64_t frame, index;
	uint32_t area, sample;
};

/* The frame with page frame number pfn, UINT64_MAX if it is no RAM. */
static inline uint64_t sim_frame_of(const struct sim_machine *m, uint64_t pfn)
{
	for (uint64_t n = m->nr_res; n-- > 0;) /* the biggest is the last */
		if (pfn - m->res[n].pfn < m->res[n].nr)
			return m->res[n].frame + (pfn - m->res[n].pfn);
	return UINT64_MAX;
}

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

/* The mapped page (of a huge folio the first one) in frame number pfn, 1 if there is one. */
static inline int sim_resolve(struct sim_machine *m, uint64_t pfn, struct sim_hint *hint, uint32_t *area,
			      uint64_t *index)
{
	struct sim_place at = { sim_frame_of(m, pfn), 0, 0, 0 };

	if (at.frame == UINT64_MAX || !sim_used(m, at.frame) || !sim_locate(m, &at) || !sim_settle(m, &at, hint))
		return 0;
	*area = at.area;
	*index = at.index;
	return 1;
}

#endif
