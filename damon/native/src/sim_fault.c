// SPDX-License-Identifier: GPL-2.0-only
/* Pages that come, processes that stall. */
#include "sim.h"
#include "sim_math.h"

/*
 * "Some" memory stall: [t, end) or what of it is not counted yet. A process that waits is waiting without a break, so
 * what lies ahead of t is always one stretch.
 */
static void psi_add(int64_t *psi_ns, int64_t *psi_end, int64_t t, int64_t end)
{
	int64_t from = *psi_end > t ? *psi_end : t;

	if (end > from) {
		*psi_ns += end - from;
		*psi_end = end;
	}
}

/* The area's process, at t, has to wait for ns, after all it waits for already. */
static void stall(struct sim_machine *m, uint32_t area, int64_t t, int64_t ns, int memory)
{
	struct sim_process *p = &m->process[m->area[area].process];
	int64_t start = p->busy_until > t ? p->busy_until : t;

	p->busy_until = start + ns;
	p->stall_ns += (uint64_t)ns;
	if (!memory)
		return;
	psi_add(&m->psi_ns, &m->psi_end, t, p->busy_until);
	for (uint64_t id = m->area[area].memcg; id; id = m->memcg[id].parent)
		psi_add(&m->memcg[id].psi_ns, &m->memcg[id].psi_end, t, p->busy_until);
}

/* The frame that a page is to have comes next. Later it has any. */
static void prefer_wanted(struct sim_machine *m, struct sim_area *a, uint64_t index)
{
	if (!a->wanted || !a->wanted[index])
		return;
	sim_frame_prefer(m, a->wanted[index] - 1);
	a->wanted[index] = 0;
}

/* A frame for the page. 0: its process was killed for want of memory. *wait: direct reclaim, ns. */
int sim_page_alloc(struct sim_machine *m, uint32_t area, uint64_t index, struct sim_page *p, int64_t t, int64_t *wait)
{
	const struct sim_process *process = &m->process[m->area[area].process];
	uint64_t node;
	int found;

	if (!sim_memcg_charge(m, area, 1, t, wait))
		return 0;
	while (!(found = sim_node_pick(m, area, &node))) {
		struct sim_scan s = { .nodes = m->node[process->node].order,
				      .nr_nodes = m->nr_node,
				      .t = t,
				      .cost = wait,
				      .scanned = &m->pgscan_direct };
		uint64_t got;

		m->allocstall++;
		got = sim_shrink_hard(m, &s, SIM_CLUSTER);
		m->pgsteal_direct += got;
		if (got)
			continue;
		if (!sim_oom(m, 0, t))
			break; /* no process is left to kill: use the reserve */
		if (!m->area[area].mapped)
			return 0;
	}
	for (uint64_t n = 0; !found && n < m->nr_node; n++) {
		node = m->node[process->node].order[n];
		found = m->node[node].nr_free ? 1 : 0;
	}
	if (!found)
		return 0;
	prefer_wanted(m, &m->area[area], index);
	p->frame = (uint32_t)sim_frame_alloc(m, node, area, index);
	if (found == 1)
		sim_node_wake_all(m, t);
	return 1;
}

/* The page, with its frame, is in memory from t on. New pages start inactive, as in the kernel. */
void sim_page_insert(struct sim_machine *m, uint32_t area, uint64_t index, struct sim_page *p, int64_t t, int active)
{
	struct sim_area *a = &m->area[area];
	struct sim_process *process = &m->process[a->process];
	uint64_t node = sim_node(m, p->frame);

	sim_residence_settle(a, t);
	a->nr_evicted -= (p->flags & PG_EVICTED) != 0;
	if (p->flags & PG_SWAPPED) {
		sim_swap_free(m, area, p);
		a->nr_swapped--;
		process->nr_swapped--;
		m->pswpin++;
	}
	p->flags = PG_PRESENT | (active ? PG_ACTIVE : 0);
	p->t_eval = t;
	a->nr_present++;
	a->nr_active += (uint64_t)active;
	a->node_present[node]++;
	a->node_active[node] += (uint64_t)active;
	sim_latency(m, area, index, 1, node, 1, t);
	process->nr_present++;
	sim_lru_add(m, sim_list(a, active), area, index, p);
}

/* Refaults that come sooner than their evictor's lists turn over go straight to the active list (mm/workingset.c). */
static int refault_active(const struct sim_machine *m, const struct sim_area *a, const struct sim_page *p)
{
	const struct sim_memcg *c = &m->memcg[p->evictor];
	uint64_t size;

	if (!(p->flags & PG_EVICTED))
		return 0;
	size = c->nr[2 + LIST_ACTIVE];
	if (a->kind == KIND_ANON)
		size += c->nr[2 + LIST_INACTIVE];
	if (sim_memcg_swap(m, p->evictor))
		size += c->nr[LIST_ACTIVE] + (a->kind == KIND_FILE ? c->nr[LIST_INACTIVE] : 0);
	return c->age - p->shadow <= size;
}

/* One more fault of an area, or of its faults one more that is a refault. */
static void count(struct sim_machine *m, uint32_t area, int refault)
{
	struct sim_area *a = &m->area[area];
	struct sim_process *process = &m->process[a->process];

	for (uint64_t id = a->memcg; id; id = m->memcg[id].parent) {
		m->memcg[id].faults += !refault;
		m->memcg[id].refaults += (uint64_t)refault;
	}
	if (!refault) {
		m->pgfault++;
		a->faults++;
		process->faults++;
		return;
	}
	a->refaults++;
	process->refaults++;
	if (a->kind == KIND_ANON)
		m->refault_anon++;
	else
		m->refault_file++;
}

/* A touch at t finds the page absent. */
static void fault(struct sim_machine *m, uint32_t area, uint64_t index, struct sim_page *p, int64_t t)
{
	struct sim_area *a = &m->area[area];
	int64_t wait = 0, latency = m->fault_ns;
	int active, refault = (p->flags & PG_EVICTED) != 0;

	count(m, area, 0);
	if (a->kind == KIND_ANON && m->thp && sim_thp_fault(m, area, index, t)) {
		stall(m, area, t, latency + m->huge_ns, 0);
		return;
	}
	if (p->flags & PG_SWAPPED)
		latency += m->swap[p->swap].read_ns;
	else if (a->kind == KIND_FILE)
		latency += m->file_read_ns;
	if (p->flags & PG_SWAPPED || a->kind == KIND_FILE)
		m->pgmajfault++;
	active = refault_active(m, a, p);
	if (!sim_page_alloc(m, area, index, p, t, &wait))
		return;
	if (refault)
		count(m, area, 1);
	sim_page_insert(m, area, index, p, t, active);
	p->t_last = t;
	p->t_ref = t - 1;
	if (a->kind == KIND_FILE && sim_uniform(m->seed, (uint64_t)area << SIM_PAGE_BITS | index, (uint64_t)t,
						DRAW_FAULT) <= sim_seg_write(a, index, t))
		p->flags |= PG_DIRTY;
	stall(m, area, t, wait + latency, wait || refault);
}

/* Populate as bulk state what fits without reclaim, node after node in the order of the process's. */
static void map_bulk(struct sim_machine *m, uint32_t area)
{
	struct sim_area *a = &m->area[area];
	struct sim_process *process = &m->process[a->process];

	for (uint64_t n = 0; n < m->nr_node; n++) {
		uint64_t node = m->node[process->node].order[n], page = a->nr_bulk, nr, room;
		const struct sim_node *on = &m->node[node];
		uint64_t keep = n + 1 < m->nr_node ? on->wmark_low : on->wmark_high; /* the next node, or no next one */

		if (on->nr_free <= keep)
			continue;
		nr = on->nr_free - keep;
		room = sim_memcg_room(m, a->memcg);
		nr = room < nr ? room : nr;
		sim_frame_bulk(m, node, area, a->nr_pages - page < nr ? a->nr_pages - page : nr);
		nr = a->nr_bulk - page;
		if (nr)
			a->bulk_seq[node] = sim_lru_run(m, node, sim_list(a, 0), area, page, nr);
		a->nr_present += nr;
		a->node_present[node] += nr;
		process->nr_present += nr;
	}
}

/* Map an area: its pages at once when populate (a stall only as far as memory has to be reclaimed for them). */
EXPORT void sim_area_map(struct sim_machine *m, uint32_t area, int populate, int64_t t)
{
	struct sim_area *a = &m->area[area];
	struct sim_seg *s = &a->seg[0];
	int huge;

	a->mapped = 1;
	a->epoch++;
	a->t_mapped = a->latency_t = a->residence_t = t;
	a->nr_seg = 1;
	s->t0 = t;
	s->rate = s->share = s->skew = s->write = s->owed = 0.0;
	s->stride = s->period = s->base = 0;
	s->pattern = PATTERN_NONE;
	sim_thp_mapped(m, area, t);
	if (!populate)
		return;
	huge = m->thp == THP_ALWAYS && a->kind == KIND_ANON && a->nr_pages >= SIM_BLOCK;
	if (!huge && !a->wanted)
		map_bulk(m, area);
	for (uint64_t n = a->nr_bulk; n < a->nr_pages; n++) {
		struct sim_page *p;
		int64_t wait = 0;

		if (huge && !(n & (SIM_BLOCK - 1)) && sim_thp_fault(m, area, n, t)) {
			n += SIM_BLOCK - 1;
			continue;
		}
		p = sim_page_get(m, area, n);
		if (!sim_page_alloc(m, area, n, p, t, &wait))
			return;
		sim_page_insert(m, area, n, p, t, 0);
		p->t_last = t;
		p->t_ref = t - 1;
		if (wait)
			stall(m, area, t, wait, 1);
	}
}

/* One batch of a node's reclaim daemon; the next one when this is done with, until enough is free. */
static void kswapd(struct sim_machine *m, uint64_t node, int64_t t)
{
	struct sim_node *on = &m->node[node];
	int64_t cost = 0;
	struct sim_scan s = {
		.nodes = &node, .nr_nodes = 1, .t = t, .cost = &cost, .scanned = &m->pgscan_kswapd, .whole = 1
	};
	uint64_t got;

	on->kswapd_awake = 0;
	if (on->nr_free >= on->wmark_high)
		return;
	got = sim_shrink(m, &s, SIM_CLUSTER);
	m->pgsteal_kswapd += got;
	if (!got) {
		on->kswapd_failures++;
		return;
	}
	on->kswapd_awake = 1;
	sim_event_push(m, t + (cost > 0 ? cost : 1), SIM_KSWAPD, node, 0);
}

/* Everything that happens up to now. */
EXPORT void sim_advance(struct sim_machine *m, int64_t now)
{
	if (m->buddy)
		m->buddy->now = now;
	while (m->next_event <= now) {
		struct sim_event ev;
		struct sim_page *p;
		uint64_t index;

		sim_event_pop(m, &ev);
		if (ev.area == SIM_KSWAPD) {
			if (ev.page == SIM_KHUGEPAGED)
				sim_khugepaged(m, ev.t);
			else
				kswapd(m, ev.page, ev.t);
			continue;
		}
		if (ev.epoch != m->area[ev.area].epoch || !sim_event_fire(m, &ev, &index))
			continue;
		if (sim_st(&m->area[ev.area], index) == ST_TAIL) {
			m->area[ev.area].page[index].covered = 0;
			continue;
		}
		p = sim_page_get(m, ev.area, index);
		if (p->flags & PG_PRESENT)
			p->covered = 0;
		else
			fault(m, ev.area, index, p, ev.t);
	}
}
