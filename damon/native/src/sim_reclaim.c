// SPDX-License-Identifier: GPL-2.0-only
/* Reclaim, as mm/vmscan.c does it with the classic lists. */
#include <stddef.h>

#include "sim.h"

/*
 * A huge folio: in one piece as long as swap has room for all of it, else page by page as far as it has. In swap it is
 * pages either way.
 */
static uint64_t reclaim_huge(struct sim_machine *m, uint32_t area, uint64_t head, int64_t t, uint64_t evictor,
			     int64_t *cost)
{
	uint64_t reclaimed = 0;

	if (sim_memcg_swap(m, m->area[area].memcg) >= SIM_BLOCK) {
		m->thp_swpout++;
	} else {
		m->thp_swpout_fallback++;
		m->thp_split_page++;
	}
	sim_thp_split(m, area, head, t);
	for (uint64_t i = head; i < head + SIM_BLOCK; i++)
		reclaimed += sim_reclaim_page(m, area, i, &m->area[area].page[i], t, evictor, cost);
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
	if (!sim_memcg_swap(m, a->memcg))
		return 0;
	sim_swap_take(m, area, p);
	m->pswpout++;
	a->nr_swapped++;
	m->process[a->process].nr_swapped++;
	*cost += m->swap[p->swap].write_ns;
	return 1;
}

/*
 * A folio out of memory; its pages, or 0: anonymous memory without room in swap becomes active instead. evictor: the
 * cgroup whose limit it leaves for. *cost grows by its time.
 */
uint64_t sim_reclaim_page(struct sim_machine *m, uint32_t area, uint64_t index, struct sim_page *p, int64_t t,
			  uint64_t evictor, int64_t *cost)
{
	struct sim_area *a = &m->area[area];
	uint64_t node;

	if (p->flags & PG_HUGE)
		return reclaim_huge(m, area, index, t, evictor, cost);
	node = sim_node(m, p->frame);
	*cost += m->reclaim_ns;
	if (!write_out(m, area, index, p, t, cost)) {
		sim_lru_activate(m, area, index);
		return 0;
	}
	sim_lru_count(m, area, node, sim_list(a, !!(p->flags & PG_ACTIVE)), -1);
	if (p->flags & PG_ACTIVE) {
		a->nr_active--;
		a->node_active[node]--;
	}
	p->flags = PG_EVICTED | (a->kind == KIND_ANON ? PG_SWAPPED : 0);
	p->seq = 0;
	sim_memcg_age(m, evictor, 1);
	p->evictor = (uint16_t)evictor;
	p->shadow = m->memcg[evictor].age;
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
static void shrink_active(struct sim_machine *m, struct sim_lruvec *vec, int kind, uint64_t nr,
			  const struct sim_scan *s)
{
	uint32_t area;
	uint64_t index;

	while (nr && sim_lru_pop(m, vec, kind * 2 + LIST_ACTIVE, &area, &index)) {
		uint64_t pages = sim_folio_nr(&m->area[area], index);

		nr -= pages < nr ? pages : nr;
		*s->cost += m->scan_ns;
		m->area[area].page[index].t_ref = s->t;
		sim_lru_deactivate(m, area, index);
	}
}

/* First access seen: stay; second: become active; none: leave. */
static uint64_t shrink_inactive(struct sim_machine *m, struct sim_lruvec *vec, int kind, uint64_t nr,
				const struct sim_scan *s)
{
	int list = kind * 2 + LIST_INACTIVE;
	uint64_t index, reclaimed = 0;
	uint32_t area;

	while (nr && sim_lru_pop(m, vec, list, &area, &index)) {
		struct sim_page *p = sim_page_get(m, area, index);
		uint64_t pages = sim_folio_nr(&m->area[area], index);

		nr -= pages < nr ? pages : nr;
		*s->cost += m->scan_ns;
		*s->scanned += pages;
		if (!sim_page_referenced(m, area, index, p, s->t)) {
			reclaimed += sim_reclaim_page(m, area, index, p, s->t, s->memcg, s->cost);
		} else if (p->flags & PG_REFERENCED) {
			sim_lru_activate(m, area, index);
		} else {
			p->flags |= PG_REFERENCED;
			sim_lru_count(m, area, sim_node(m, p->frame), list, -(int64_t)pages);
			sim_lru_add(m, list, area, index, p);
		}
	}
	return reclaimed;
}

static int inactive_is_low(const struct sim_lruvec *vec, int kind)
{
	uint64_t inactive = vec->nr[kind * 2], active = vec->nr[kind * 2 + LIST_ACTIVE];
	uint64_t gb = (inactive + active) >> 18, ratio = 1;

	while (gb && (ratio + 1) * (ratio + 1) <= 10 * gb)
		ratio++;
	return inactive * ratio < active;
}

/* Pages of each kind to look at: the less, the more of the cgroup is protected (get_scan_count). */
static void scan_count(const struct sim_machine *m, uint64_t memcg, const struct sim_lruvec *vec, uint64_t protected,
		       int priority, uint64_t *left)
{
	int swap = sim_memcg_swap(m, memcg) > 0;
	uint64_t usage = sim_memcg_usage(&m->memcg[memcg]);

	for (int kind = 0; kind < 2; kind++) {
		uint64_t weight = kind == KIND_ANON ? SIM_SWAPPINESS : 200 - SIM_SWAPPINESS;
		uint64_t size = vec->nr[kind * 2] + vec->nr[kind * 2 + 1];

		if (protected) {
			uint64_t of = (usage > protected ? usage : protected) + 1;

			size -= (uint64_t)((unsigned __int128)size * protected / of);
			size = size > SIM_CLUSTER ? size : SIM_CLUSTER;
		}
		left[kind] = size >> priority;
		if (!swap)
			weight = kind == KIND_ANON ? 0 : 200;
		else if (!priority)
			weight = 200;
		left[kind] = left[kind] * weight / 200;
	}
}

/* One cgroup's lists on a node; reclaimed pages, goal is enough. */
static uint64_t shrink_lruvec(struct sim_machine *m, struct sim_lruvec *vec, uint64_t *left, uint64_t goal,
			      const struct sim_scan *s)
{
	uint64_t reclaimed = 0;

	while (left[0] || left[1]) {
		for (int kind = 0; kind < 2; kind++) {
			uint64_t nr = left[kind] < SIM_CLUSTER ? left[kind] : SIM_CLUSTER;

			if (!nr)
				continue;
			left[kind] -= nr;
			if (inactive_is_low(vec, kind))
				shrink_active(m, vec, kind, nr, s);
			reclaimed += shrink_inactive(m, vec, kind, nr, s);
			if (reclaimed >= goal)
				return reclaimed;
		}
	}
	return reclaimed;
}

/* What protects a cgroup in this scan, or that it is left out: then 0. */
static int reclaimable(struct sim_machine *m, uint64_t memcg, struct sim_scan *s, uint64_t *protected)
{
	struct sim_memcg *c = &m->memcg[memcg];
	uint64_t usage = sim_memcg_usage(c);

	*protected = 0;
	if (!m->protected || memcg == s->memcg)
		return 1;
	if (c->emin >= usage)
		return 0;
	if (c->elow >= usage) {
		if (!s->low_too) {
			s->low_skipped = 1;
			return 0;
		}
		c->event_low++;
	}
	*protected = !s->low_too && c->elow > c->emin ? c->elow : c->emin;
	return 1;
}

/* One node at one priority, cgroup after cgroup, from where the last one ended: reclaimed pages. Each may give goal. */
static uint64_t shrink_node(struct sim_machine *m, uint64_t node, int priority, uint64_t goal, struct sim_scan *s)
{
	struct sim_lruvec *top = sim_lruvec(m, s->memcg, node);
	uint64_t nr = m->nr_memcg, reclaimed = 0;

	if (m->protected)
		sim_memcg_protection(m, s->memcg);
	for (uint64_t n = 0, id = top->next; n < nr; n++, id = id + 1 < nr ? id + 1 : 0) {
		struct sim_lruvec *vec = sim_lruvec(m, id, node);
		uint64_t left[2], protected;

		if (!(vec->nr[0] | vec->nr[1] | vec->nr[2] | vec->nr[3]) || !sim_memcg_below(m, id, s->memcg))
			continue;
		if (!reclaimable(m, id, s, &protected))
			continue;
		scan_count(m, id, vec, protected, priority, left);
		reclaimed += shrink_lruvec(m, vec, left, goal, s);
		if (!s->whole && reclaimed >= goal) {
			top->next = id + 1 < nr ? id + 1 : 0;
			break;
		}
	}
	return reclaimed;
}

static uint64_t shrink(struct sim_machine *m, struct sim_scan *s, uint64_t goal)
{
	uint64_t reclaimed = 0;

	for (int priority = SIM_PRIORITY; priority >= 0; priority--) {
		for (uint64_t n = 0; n < s->nr_nodes; n++) {
			uint64_t got = shrink_node(m, s->nodes[n], priority, goal - reclaimed, s);

			if (got)
				m->node[s->nodes[n]].kswapd_failures = 0;
			reclaimed += got;
			if (reclaimed >= goal)
				return reclaimed;
		}
	}
	return reclaimed;
}

/*
 * Reclaim until goal pages have left, looking harder and harder; the number that did. What memory.low protects is taken
 * when there is nothing else.
 */
uint64_t sim_shrink(struct sim_machine *m, struct sim_scan *s, uint64_t goal)
{
	uint64_t reclaimed = shrink(m, s, goal);

	if (!reclaimed && s->low_skipped) {
		s->low_too = 1;
		reclaimed = shrink(m, s, goal);
	}
	return reclaimed;
}

/*
 * The same for who cannot go on without: up to 16 times, as long as there is something that could leave. One scan of
 * pages that are all accessed, or mostly protected, may bring nothing.
 */
uint64_t sim_shrink_hard(struct sim_machine *m, struct sim_scan *s, uint64_t goal)
{
	const struct sim_memcg *c = &m->memcg[s->memcg];

	for (int retries = SIM_FAILURES;; retries--) {
		uint64_t reclaimed = sim_shrink(m, s, goal), left = c->nr[2] + c->nr[3];

		if (sim_memcg_swap(m, s->memcg))
			left += c->nr[0] + c->nr[1];
		if (reclaimed || !left || !retries)
			return reclaimed;
	}
}
