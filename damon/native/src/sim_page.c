// SPDX-License-Identifier: GPL-2.0-only
/*
 * Pages: from address to page, pristine and recorded ones, old and young. A page that nothing special happened to is
 * pristine: it has no record, and is as its area's bulk state says. So populating an area and finding its pages cold
 * costs next to nothing, however big it is.
 */
#include "sim.h"

/* The extent that a pristine page is in. */
const struct sim_ext *sim_area_ext(const struct sim_area *a, uint64_t index)
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
	const struct sim_ext *e = sim_area_ext(a, index);

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
