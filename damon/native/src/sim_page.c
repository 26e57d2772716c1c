// SPDX-License-Identifier: GPL-2.0-only
/*
 * Pages: from address to page, pristine and recorded ones, old and young. A page that nothing special happened to is
 * pristine: it has no record, and is as its area's bulk state says. So populating an area and finding its pages cold
 * costs next to nothing, however big it is.
 */
#include "sim.h"

static const struct sim_ext *area_ext(const struct sim_area *a, uint64_t index)
{
	uint32_t lo = 0, hi = a->nr_ext;

	while (hi - lo > 1) {
		uint32_t mid = (lo + hi) / 2;

		if (a->ext[mid].page <= index)
			lo = mid;
		else
			hi = mid;
	}
	return &a->ext[lo];
}

static uint64_t pristine_frame(const struct sim_area *a, uint64_t index)
{
	const struct sim_ext *e = area_ext(a, index);

	return e->frame + (index - e->page);
}

/* Of a page in memory. */
uint64_t sim_page_frame(const struct sim_area *a, uint64_t index)
{
	if (sim_st(a, index) == ST_TAIL)
		return a->page[sim_head(a, index)].frame + (index & (SIM_BLOCK - 1));
	return sim_valid(a, index) ? a->page[index].frame : pristine_frame(a, index);
}

int sim_page_present(const struct sim_area *a, uint64_t index)
{
	if (sim_valid(a, index))
		return a->page[index].flags & PG_PRESENT;
	return index < a->nr_bulk || sim_st(a, index) == ST_TAIL;
}

/* The record of a page that is no tail of a folio, filled in from the area's bulk state at the first need. */
struct sim_page *sim_page_get(struct sim_machine *m, uint32_t area, uint64_t index)
{
	struct sim_area *a = &m->area[area];
	struct sim_page *p = &a->page[index];
	unsigned int st = sim_st(a, index);

	if (st == ST_VALID)
		return p;
	p->t_eval = a->t_mapped;
	if (index < a->nr_bulk) {
		p->t_last = a->t_mapped;
		p->t_ref = a->t_mapped - 1;
		p->frame = (uint32_t)pristine_frame(a, index);
		p->seq = a->bulk_seq[sim_node(m, p->frame)];
		p->flags = PG_PRESENT;
		if (st == ST_IDLE) {
			/* made old in a stretch without accesses: any time in it is as good */
			p->flags |= PG_IDLE;
			p->t_old = sim_seg_now(a)->t0;
			a->nr_bulk_idle--;
		}
	} else {
		p->t_last = -1;
		p->t_ref = -1;
	}
	sim_st_set(a, index, ST_VALID);
	return p;
}

/* Is the page in this frame? A pristine page of an extent is where the extent says. */
static int in_frame(const struct sim_area *a, uint64_t index, uint64_t frame)
{
	if (sim_st(a, index) == ST_TAIL)
		return sim_page_frame(a, index) == frame;
	return a->page[index].flags & PG_PRESENT && a->page[index].frame == frame;
}

/* The page that the reverse map has for at->frame: 1 if it has one. No page's state or record is looked at. */
int sim_locate(const struct sim_machine *m, struct sim_place *at)
{
	uint64_t v = m->block[at->frame >> SIM_BLOCK_SHIFT];

	if (!v)
		return 0;
	if (v != SIM_LEAF) {
		const struct sim_ext *x;

		at->area = (uint32_t)(v >> 32) - 2;
		x = &m->area[at->area].ext[(uint32_t)v];
		at->index = x->page + (at->frame - x->frame);
		return at->frame - x->frame < x->nr;
	}
	v = m->leaf[at->frame];
	if (!v)
		return 0;
	at->area = (uint32_t)(v >> SIM_PAGE_BITS) - 1;
	at->index = v & SIM_PAGE_MASK;
	return (int)m->area[at->area].mapped;
}

/*
 * Is the page that sim_locate() found still in that frame? Of a huge folio it becomes the first one. *hint starts zero
 * and is only good for as long as nothing is mapped or unmapped.
 */
int sim_settle(const struct sim_machine *m, struct sim_place *at, struct sim_hint *hint)
{
	const struct sim_area *a = &m->area[at->area];

	if (sim_st(a, at->index) < ST_VALID) {
		const struct sim_ext *x = hint->ext;

		if (at->index >= a->nr_bulk)
			return 0;
		if (!x || hint->area != at->area || at->index - x->page >= x->nr) {
			x = hint->ext = area_ext(a, at->index);
			hint->area = at->area;
		}
		return x->frame + (at->index - x->page) == at->frame;
	}
	if (!in_frame(a, at->index, at->frame))
		return 0;
	at->index = sim_head(a, at->index);
	return 1;
}

/* The mapped page (of a huge folio the first one) in frame number pfn, 1 if there is one. */
int sim_resolve(struct sim_machine *m, uint64_t pfn, struct sim_hint *hint, uint32_t *area, uint64_t *index)
{
	struct sim_place at = { sim_frame_of(m, pfn), 0, 0, 0 };

	if (at.frame == UINT64_MAX || !sim_used(m, at.frame) || !sim_locate(m, &at) || !sim_settle(m, &at, hint))
		return 0;
	*area = at.area;
	*index = at.index;
	return 1;
}

/* The page of a process at addr, 1 if its area is mapped. *hint: area to try first, then the area found. */
int sim_resolve_va(struct sim_machine *m, uint32_t process, uint64_t addr, uint32_t *hint, uint64_t *index)
{
	const struct sim_process *p = &m->process[process];
	uint32_t lo = p->first_area, hi = lo + p->nr_area;

	if (addr - m->area[*hint].start >= m->area[*hint].nr_pages * 4096) {
		while (hi - lo > 1) {
			uint32_t mid = (lo + hi) / 2;

			if (m->area[mid].start <= addr)
				lo = mid;
			else
				hi = mid;
		}
		if (addr - m->area[lo].start >= m->area[lo].nr_pages * 4096)
			return 0;
		*hint = lo;
	}
	*index = sim_head(&m->area[*hint], (addr - m->area[*hint].start) >> 12);
	return (int)m->area[*hint].mapped;
}

uint64_t sim_page_pfn(const struct sim_machine *m, uint64_t frame)
{
	for (uint64_t n = 0; n < m->nr_res; n++)
		if (frame - m->res[n].frame < m->res[n].nr)
			return m->res[n].pfn + (frame - m->res[n].frame);
	return UINT64_MAX;
}

/* Set idle and clear accessed: from now on only a touch makes the page young. No draw is needed. */
void sim_page_mkold(struct sim_machine *m, uint32_t area, uint64_t index, int64_t now)
{
	struct sim_area *a = &m->area[area];
	struct sim_page *p;

	if (!sim_valid(a, index)) {
		if (index >= a->nr_bulk)
			return;
		if (sim_seg_now(a)->pattern == PATTERN_NONE) {
			if (sim_st(a, index) != ST_IDLE) {
				sim_st_set(a, index, ST_IDLE);
				a->nr_bulk_idle++;
			}
			return;
		}
	}
	p = sim_page_get(m, area, index);
	if (p->flags & PG_PRESENT) {
		p->t_old = now;
		p->flags |= PG_IDLE;
	}
}

/* Not idle, or touched since it was made old. A page that was never made old counts as young, as in the kernel. */
int sim_page_young(struct sim_machine *m, uint32_t area, uint64_t index, int64_t now)
{
	struct sim_area *a = &m->area[area];
	struct sim_page *p;

	if (!sim_valid(a, index))
		return index < a->nr_bulk && sim_st(a, index) != ST_IDLE;
	p = &a->page[index];
	if (!(p->flags & PG_PRESENT))
		return 0;
	if (!(p->flags & PG_IDLE))
		return 1;
	sim_page_advance(m, area, index, p, now);
	return p->t_last > p->t_old;
}

/* Reclaim's own question: touched since it last asked? Asking clears the accessed bit. */
int sim_page_referenced(struct sim_machine *m, uint32_t area, uint64_t index, struct sim_page *p, int64_t now)
{
	int referenced;

	sim_page_advance(m, area, index, p, now);
	referenced = p->t_last > p->t_ref;
	p->t_ref = now;
	return referenced;
}
