// SPDX-License-Identifier: GPL-2.0-only
/*
 * The LRU lists as rings of runs. A page carries the number of the run that it was last added with; every other
 * run's claim to it is stale, so moving a page costs the same wherever it was.
 */
#include "sim.h"

static uint64_t page_seq(const struct sim_machine *m, const struct sim_area *a, uint64_t index)
{
	if (sim_valid(a, index))
		return a->page[index].seq;
	if (index >= a->nr_bulk || sim_st(a, index) == ST_TAIL)
		return 0;
	return a->bulk_seq[m->nr_node == 1 ? 0 : sim_res_node(m, sim_page_frame(a, index))];
}

static struct sim_run *ring(const struct sim_machine *m, const struct sim_lruvec *vec, int list, uint64_t at)
{
	return &vec->run[list][at & m->run_mask];
}

/* nr pages came to, or left, one of the lists of the area's cgroup on a node. */
void sim_lru_count(struct sim_machine *m, uint32_t area, uint64_t node, int list, int64_t nr)
{
	uint64_t id = m->area[area].memcg;

	sim_lruvec(m, id, node)->nr[list] += (uint64_t)nr;
	for (m->memcg[id].nr[list] += (uint64_t)nr; id; m->memcg[id].nr[list] += (uint64_t)nr)
		id = m->memcg[id].parent;
}

/*
 * Drop the runs without a page that is on them. What stays keeps its stale claims, so no run becomes several, which
 * would overwrite runs not looked at yet. Half of the ring is free afterwards: it is twice as long as there are frames.
 */
static void compact(struct sim_machine *m, struct sim_lruvec *vec, int list)
{
	uint64_t to = vec->tail[list], end = vec->head[list];

	for (uint64_t from = vec->tail[list]; from < end; from++) {
		struct sim_run r = *ring(m, vec, list, from);
		const struct sim_area *a = &m->area[r.area];

		while (a->mapped && r.nr && page_seq(m, a, r.page) != r.seq) {
			r.page++;
			r.nr--;
		}
		if (a->mapped && r.nr)
			*ring(m, vec, list, to++) = r;
	}
	vec->head[list] = to;
}

/* Pages [page, page + nr) to the head of a list; the number of their run. */
uint64_t sim_lru_run(struct sim_machine *m, uint64_t node, int list, uint32_t area, uint64_t page, uint64_t nr)
{
	struct sim_lruvec *vec = sim_lruvec(m, m->area[area].memcg, node);
	struct sim_run *r;

	sim_lru_count(m, area, node, list, (int64_t)nr);
	if (vec->head[list] > vec->tail[list]) {
		r = ring(m, vec, list, vec->head[list] - 1);
		if (r->area == area && r->page + r->nr == page) {
			r->nr += nr;
			return r->seq;
		}
	}
	if (vec->head[list] - vec->tail[list] > m->run_mask)
		compact(m, vec, list);
	r = ring(m, vec, list, vec->head[list]++);
	r->page = page;
	r->nr = nr;
	r->seq = ++m->next_seq;
	r->area = area;
	r->pad = 0;
	return r->seq;
}

/*
 * A folio to the head of a list of its node; the caller has taken it off the one where it was. A huge one is on the
 * list as its first page and counts as all of them.
 */
void sim_lru_add(struct sim_machine *m, int list, uint32_t area, uint64_t index, struct sim_page *p)
{
	uint64_t node = sim_node(m, p->frame);

	p->seq = sim_lru_run(m, node, list, area, index, 1);
	if (p->flags & PG_HUGE)
		sim_lru_count(m, area, node, list, SIM_BLOCK - 1);
}

/* The page at the tail; 0: the list is empty. It still counts as a member and has to be moved or removed. */
int sim_lru_pop(struct sim_machine *m, struct sim_lruvec *vec, int list, uint32_t *area, uint64_t *index)
{
	while (vec->head[list] != vec->tail[list]) {
		struct sim_run *r = ring(m, vec, list, vec->tail[list]);
		const struct sim_area *a = &m->area[r->area];

		if (!r->nr || !a->mapped) {
			vec->tail[list]++;
			continue;
		}
		*area = r->area;
		*index = r->page++;
		r->nr--;
		if (page_seq(m, a, *index) == r->seq)
			return 1;
	}
	return 0;
}

/* To the head of the active list, unless it is active. */
int sim_lru_activate(struct sim_machine *m, uint32_t area, uint64_t index)
{
	struct sim_area *a = &m->area[area];
	struct sim_page *p = sim_page_get(m, area, index);
	uint64_t node, nr = sim_folio_nr(a, index);

	if (!(p->flags & PG_PRESENT) || p->flags & PG_ACTIVE || a->locked)
		return 0;
	node = sim_node(m, p->frame);
	p->flags |= PG_ACTIVE;
	p->flags &= ~(uint32_t)PG_REFERENCED;
	a->nr_active += nr;
	a->node_active[node] += nr;
	sim_lru_count(m, area, node, sim_list(a, 0), -(int64_t)nr);
	sim_lru_add(m, sim_list(a, 1), area, index, p);
	m->pgactivate += nr;
	sim_memcg_age(m, a->memcg, nr);
	return 1;
}

/* To the head of the inactive list, unless it is inactive. */
int sim_lru_deactivate(struct sim_machine *m, uint32_t area, uint64_t index)
{
	struct sim_area *a = &m->area[area];
	struct sim_page *p;
	uint64_t node, nr;

	if (!sim_valid(a, index))
		return 0; /* pristine pages are inactive */
	p = &a->page[index];
	if (!(p->flags & PG_PRESENT) || !(p->flags & PG_ACTIVE))
		return 0;
	node = sim_node(m, p->frame);
	nr = sim_folio_nr(a, index);
	p->flags &= ~(uint32_t)(PG_ACTIVE | PG_REFERENCED);
	a->nr_active -= nr;
	a->node_active[node] -= nr;
	sim_lru_count(m, area, node, sim_list(a, 1), -(int64_t)nr);
	sim_lru_add(m, sim_list(a, 0), area, index, p);
	m->pgdeactivate += nr;
	return 1;
}
