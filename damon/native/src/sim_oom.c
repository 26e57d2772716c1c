// SPDX-License-Identifier: GPL-2.0-only
/* Processes that are killed for want of memory. */
#include <stddef.h>

#include "sim.h"

static uint64_t badness(const struct sim_process *p)
{
	return p->nr_present + p->nr_swapped;
}

/* Is one of its areas charged to the cgroup, or to one below it? */
static int charges(const struct sim_machine *m, const struct sim_process *p, uint64_t memcg)
{
	for (uint32_t n = 0; n < p->nr_area; n++)
		if (sim_memcg_below(m, m->area[p->first_area + n].memcg, memcg))
			return 1;
	return 0;
}

static void kill(struct sim_machine *m, struct sim_process *victim, uint64_t memcg, int64_t t)
{
	m->oom_kill++;
	m->memcg[memcg].event_oom_kill += memcg != 0;
	victim->alive = 0;
	victim->killed++;
	victim->killed_t = t;
	victim->killed_present = victim->nr_present;
	victim->killed_swapped = victim->nr_swapped;
	victim->killed_swap = m->swap_pages - m->swap_used;
	victim->killed_memcg = memcg;
	victim->killed_free = 0;
	for (uint64_t n = 0; n < m->nr_node; n++)
		victim->killed_free += m->node[n].nr_free;
	for (uint32_t n = 0; n < victim->nr_area; n++)
		sim_area_clear(m, victim->first_area + n, t);
}

/* Kill the biggest process of a cgroup (0: of all). 0: there is none. */
int sim_oom(struct sim_machine *m, uint64_t memcg, int64_t t)
{
	struct sim_process *victim = NULL;

	for (uint64_t n = 0; n < m->nr_process; n++) {
		struct sim_process *p = &m->process[n];

		if (p->alive && (!victim || badness(p) > badness(victim)) &&
		    (memcg ? charges(m, p, memcg) : badness(p) > 0))
			victim = p;
	}
	if (!victim)
		return 0;
	kill(m, victim, memcg, t);
	return 1;
}
