// SPDX-License-Identifier: GPL-2.0-only
/* Swap devices. */
#include "sim.h"

static void charge(struct sim_machine *m, uint32_t area, int64_t nr)
{
	uint64_t id = m->area[area].memcg;

	for (m->memcg[id].nr_swapped += (uint64_t)nr; id; m->memcg[id].nr_swapped += (uint64_t)nr)
		id = m->memcg[id].parent;
}

/*
 * A slot for a page; the caller knows that there is one. Devices are sorted by priority, the highest first; those of
 * the same one take turns, as the kernel's list of them is requeued.
 */
void sim_swap_take(struct sim_machine *m, uint32_t area, struct sim_page *p)
{
	charge(m, area, 1);
	if (m->nr_swap == 1) {
		m->swap[0].used++;
		m->swap_used++;
		p->swap = 0;
		return;
	}
	for (uint64_t first = 0, end; first < m->nr_swap; first = end) {
		struct sim_swap *group = &m->swap[first];

		for (end = first; end < m->nr_swap && m->swap[end].priority == group->priority; end++)
			;
		for (uint64_t k = 0; k < end - first; k++) {
			uint64_t n = group->turn + k < end - first ? group->turn + k : group->turn + k - (end - first);

			if (group[n].used < group[n].pages) {
				group[n].used++;
				group->turn = n + 1 < end - first ? n + 1 : 0;
				m->swap_used++;
				p->swap = (uint32_t)(first + n);
				return;
			}
		}
	}
}

void sim_swap_free(struct sim_machine *m, uint32_t area, const struct sim_page *p)
{
	charge(m, area, -1);
	m->swap[p->swap].used--;
	m->swap_used--;
}
