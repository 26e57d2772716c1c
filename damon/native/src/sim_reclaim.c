// SPDX-License-Identifier: GPL-2.0-only
/* Reclaim, as mm/vmscan.c does it with the classic lists. */
#include <stddef.h>

#include "sim.h"

/*
 * A huge folio: in one piece as long as swap has room for all of it, else page by page as far as it has. In swap it is
 * pages either way.
 */
static uint64_t reclaim_huge(struct sim_machine *m, uint32_t area, uint64_t head, int64_t t, int64_t *cost)
{
	uint64_t reclaimed = 0;

	if (m->swap_pages - m->swap_used >= SIM_BLOCK) {
		m->thp_swpout++;
	} else {
		m->thp_swpout_fallback++;
		m->thp_split_page++;
	}
	sim_thp_split(m, area, head, t);
	for (uint64_t i = head; i < head + SIM_BLOCK; i++)
		reclaimed += sim_reclaim_page(m, area, i, &m->area[area].page[i], t, cost);
	return reclaimed;
}

/* What a page holds goes to swap or to its file, as far as it has to be written. 0: there is no room in swap. */
static int write_out(struct sim_machine *m, uint32_t area, uint64_t index, struct sim_page *p, int64_t t, int64_t *cost)
{
	struct sim_area *a = &m->area[area];

	if (a->kind == KIND_FILE) {
		sim_page_advance(m, area, index, p, t); /* for the dirty bit */
		if (p->flags & PG_DIRTY) {
			m->writeback++;
			*cost += m->file_write_ns;
		}
		return 1;
	}
	if (m->swap_used >= m->swap_pages)
		return 0;
	sim_swap_take(m, p);
	m->pswpout++;
	a->nr_swapped++;
	m->process[a->process].nr_swapped++;
	*cost += m->swap[p->swap].write_ns;
	return 1;
}

/*
 * A folio out of memory; its pages, or 0: anonymous memory without room in swap becomes active instead. *cost grows by
 * its time.
 */
uint64_t sim_reclaim_page(struct sim_machine *m, uint32_t area, uint64_t index, struct sim_page *p, int64_t t,
			  int64_t *cost)
{
	struct sim_area *a = &m->area[area];
	uint64_t node;

	if (p->flags & PG_HUGE)
		return reclaim_huge(m, area, index, t, cost);
	node = sim_node(m, p->frame);
	*cost += m->reclaim_ns;
	if (!write_out(m, area, index, p, t, cost)) {
		sim_lru_activate(m, area, index);
		return 0;
	}
	m->node[node].nr[a->kind * 2 + !!(p->flags & PG_ACTIVE)]--;
	if (p->flags & PG_ACTIVE) {
		a->nr_active--;
		a->node_active[node]--;
	}
	p->flags = PG_EVICTED | (a->kind == KIND_ANON ? PG_SWAPPED : 0);
	p->seq = 0;
	p->shadow = ++m->age;
	sim_residence_settle(a, t);
	a->nr_present--;
	a->nr_evicted++;
	a->node_present[node]--;
	sim_latency(m, area, index, 1, node, -1, t);
	a->reclaimed++;
	m->process[a->process].nr_present--;
	sim_frame_free(m, p->frame, 1);
	sim_event_cover(m, area, index, p, t);
	return 1;
}

/* Active pages lose their place whether accessed or not; the access only counts again on the inactive list. */
static void shrink_active(struct sim_machine *m, uint64_t node, int kind, uint64_t nr, int64_t t, int64_t *cost)
{
	uint32_t area;
	uint64_t index;

	while (nr && sim_lru_pop(m, node, kind * 2 + LIST_ACTIVE, &area, &index)) {
		uint64_t pages = sim_folio_nr(&m->area[area], index);

		nr -= pages < nr ? pages : nr;
		*cost += m->scan_ns;
		m->area[area].page[index].t_ref = t;
		sim_lru_deactivate(m, area, index);
	}
}

/* First access seen: stay; second: become active; none: leave. */
static uint64_t shrink_inactive(struct sim_machine *m, uint64_t node, int kind, uint64_t nr, int64_t t, int64_t *cost,
				uint64_t *scanned)
{
	int list = kind * 2 + LIST_INACTIVE;
	uint64_t index, reclaimed = 0;
	uint32_t area;

	while (nr && sim_lru_pop(m, node, list, &area, &index)) {
		struct sim_page *p = sim_page_get(m, area, index);
		uint64_t pages = sim_folio_nr(&m->area[area], index);

		nr -= pages < nr ? pages : nr;
		*cost += m->scan_ns;
		*scanned += pages;
		if (!sim_page_referenced(m, area, index, p, t)) {
			reclaimed += sim_reclaim_page(m, area, index, p, t, cost);
		} else if (p->flags & PG_REFERENCED) {
			sim_lru_activate(m, area, index);
		} else {
			p->flags |= PG_REFERENCED;
			m->node[node].nr[list] -= pages;
			sim_lru_add(m, list, area, index, p);
		}
	}
	return reclaimed;
}

static int inactive_is_low(const struct sim_node *node, int kind)
{
	uint64_t inactive = node->nr[kind * 2], active = node->nr[kind * 2 + LIST_ACTIVE];
	uint64_t gb = (inactive + active) >> 18, ratio = 1;

	while (gb && (ratio + 1) * (ratio + 1) <= 10 * gb)
		ratio++;
	return inactive * ratio < active;
}

/* One node at one priority; reclaimed pages, goal is enough. */
static uint64_t shrink_node(struct sim_machine *m, uint64_t node, int priority, uint64_t goal, int64_t t, int64_t *cost,
			    uint64_t *scanned)
{
	const struct sim_node *on = &m->node[node];
	uint64_t left[2], reclaimed = 0;

	for (int kind = 0; kind < 2; kind++) {
		uint64_t weight = kind == KIND_ANON ? SIM_SWAPPINESS : 200 - SIM_SWAPPINESS;

		left[kind] = (on->nr[kind * 2] + on->nr[kind * 2 + 1]) >> priority;
		if (m->swap_used >= m->swap_pages)
			weight = kind == KIND_ANON ? 0 : 200;
		else if (!priority)
			weight = 200;
		left[kind] = left[kind] * weight / 200;
	}
	while (left[0] || left[1]) {
		for (int kind = 0; kind < 2; kind++) {
			uint64_t nr = left[kind] < SIM_CLUSTER ? left[kind] : SIM_CLUSTER;

			if (!nr)
				continue;
			left[kind] -= nr;
			if (inactive_is_low(on, kind))
				shrink_active(m, node, kind, nr, t, cost);
			reclaimed += shrink_inactive(m, node, kind, nr, t, cost, scanned);
			if (reclaimed >= goal)
				return reclaimed;
		}
	}
	return reclaimed;
}

/* Reclaim from nodes until goal pages have left, looking harder and harder; the number that did. */
uint64_t sim_shrink(struct sim_machine *m, const uint64_t *nodes, uint64_t nr, uint64_t goal, int64_t t, int64_t *cost,
		    uint64_t *scanned)
{
	uint64_t reclaimed = 0;

	for (int priority = SIM_PRIORITY; priority >= 0; priority--) {
		for (uint64_t n = 0; n < nr; n++) {
			uint64_t got = shrink_node(m, nodes[n], priority, goal - reclaimed, t, cost, scanned);

			if (got)
				m->node[nodes[n]].kswapd_failures = 0;
			reclaimed += got;
			if (reclaimed >= goal)
				return reclaimed;
		}
	}
	return reclaimed;
}

/* Kill the biggest process. 0: there is none. */
int sim_oom(struct sim_machine *m, int64_t t)
{
	struct sim_process *victim = NULL;

	for (uint64_t n = 0; n < m->nr_process; n++) {
		struct sim_process *p = &m->process[n];

		if (p->alive && p->nr_present + p->nr_swapped &&
		    (!victim || p->nr_present + p->nr_swapped > victim->nr_present + victim->nr_swapped))
			victim = p;
	}
	if (!victim)
		return 0;
	m->oom_kill++;
	victim->alive = 0;
	victim->killed++;
	victim->killed_t = t;
	victim->killed_present = victim->nr_present;
	victim->killed_swapped = victim->nr_swapped;
	victim->killed_swap = m->swap_pages - m->swap_used;
	victim->killed_free = 0;
	for (uint64_t n = 0; n < m->nr_node; n++)
		victim->killed_free += m->node[n].nr_free;
	for (uint32_t n = 0; n < victim->nr_area; n++)
		sim_area_clear(m, victim->first_area + n, t);
	return 1;
}
