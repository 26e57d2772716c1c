// SPDX-License-Identifier: GPL-2.0-only
/* Folios as operations sets see them, and the walk of a process's. */
#include "sim.h"

/* The folio that begins with a page of an area, which is in frame number pfn unless it is huge. */
void sim_describe(const struct sim_machine *m, uint32_t area, uint64_t index, uint64_t pfn, struct damon_folio *out)
{
	const struct sim_area *a = &m->area[area];

	out->nr_pages = (uint32_t)sim_folio_nr(a, index);
	out->pfn = out->nr_pages > 1 ? sim_page_pfn(m, a->page[index].frame) : pfn;
	out->memcg = a->memcg;
	out->addr = out->ilx = 0;
	out->target_nid = -1;
	out->flags = FOLIO_MAPPED | (a->kind == KIND_ANON ? FOLIO_ANON : 0);
	if (sim_valid(a, index) && a->page[index].flags & PG_ACTIVE)
		out->flags |= FOLIO_ACTIVE;
	out->reserved = 0;
}

/* The folios that a process maps in [*addr, end), up to max of them. *addr: where to go on. */
EXPORT uint32_t sim_walk(struct sim_machine *m, uint32_t process, uint64_t *addr, uint64_t end, struct damon_folio *out,
			 uint32_t max)
{
	const struct sim_process *p = &m->process[process];
	uint32_t nr = 0, order;
	uint64_t head;

	for (uint32_t area = p->first_area; area < p->first_area + p->nr_area; area++) {
		const struct sim_area *a = &m->area[area];
		uint64_t pgoff = a->kind == KIND_ANON ? a->start >> 12 : 0;
		uint64_t index = *addr > a->start ? (*addr - a->start) >> 12 : 0, stop = a->nr_pages;

		if (!a->mapped || end <= a->start)
			continue;
		if ((end - a->start + 4095) >> 12 < stop)
			stop = (end - a->start + 4095) >> 12;
		for (; index < stop; index++) {
			if (!(index & 3) && index >= a->nr_bulk && !a->st[index >> 2]) {
				index += 3; /* four that never were */
				continue;
			}
			if (!sim_page_present(a, index))
				continue;
			if (nr == max) {
				*addr = a->start + index * 4096;
				return nr;
			}
			head = sim_head(a, index);
			sim_describe(m, area, head, sim_page_pfn(m, sim_page_frame(a, head)), &out[nr]);
			order = out[nr].nr_pages > 1 ? SIM_BLOCK_SHIFT : 0;
			out[nr].addr = a->start + index * 4096;
			out[nr].ilx = (pgoff >> order) + (index >> order);
			index = head + out[nr++].nr_pages - 1;
		}
	}
	*addr = end;
	return nr;
}
