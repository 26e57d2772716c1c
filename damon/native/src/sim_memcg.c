// SPDX-License-Identifier: GPL-2.0-only
/* Limits and protection of cgroups, as mm/memcontrol.c and mm/page_counter.c have them. */
#include "sim.h"

#define HIGH_RETRIES 16 /* MAX_RECLAIM_RETRIES */
#define HIGH_MOST_NS 2000000000ll /* MEMCG_MAX_HIGH_DELAY_JIFFIES */
#define HIGH_LEAST_NS 10000000ll /* a shorter delay is left out */

/* Is a cgroup top itself, or below it? All are below 0. */
int sim_memcg_below(const struct sim_machine *m, uint64_t id, uint64_t top)
{
	while (id > top) /* those above it have lower numbers */
		id = m->memcg[id].parent;
	return id == top;
}

/* Pages that may still go to swap. */
uint64_t sim_memcg_swap(const struct sim_machine *m, uint64_t id)
{
	uint64_t left = m->swap_pages - m->swap_used;

	for (; id; id = m->memcg[id].parent) {
		const struct sim_memcg *c = &m->memcg[id];
		uint64_t own = c->nr_swapped < c->swap_max ? c->swap_max - c->nr_swapped : 0;

		if (c->swap_max != SIM_NO_LIMIT && own < left)
			left = own;
	}
	return left;
}

/* Pages that can be charged without any reclaim or delay. */
uint64_t sim_memcg_room(const struct sim_machine *m, uint64_t id)
{
	uint64_t room = SIM_NO_LIMIT;

	for (; id; id = m->memcg[id].parent) {
		const struct sim_memcg *c = &m->memcg[id];
		uint64_t most = c->max < c->high ? c->max : c->high, usage = sim_memcg_usage(c);

		if (most != SIM_NO_LIMIT && (usage < most ? most - usage : 0) < room)
			room = usage < most ? most - usage : 0;
	}
	return room;
}

/* The lists of a cgroup turn over by nr pages, and with them those above it. */
void sim_memcg_age(struct sim_machine *m, uint64_t id, uint64_t nr)
{
	for (m->memcg[id].age += nr; id; m->memcg[id].age += nr)
		id = m->memcg[id].parent;
}

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t scaled(uint64_t value, uint64_t by, uint64_t of)
{
	return (uint64_t)((unsigned __int128)value * by / of);
}

/*
 * What of a setting is in force (effective_protection): no more than there is; no more than its share of what protects
 * its parent; and a share of what protects that and no child asks for, by what each has beyond its own.
 */
static uint64_t effective(uint64_t usage, uint64_t parent_usage, uint64_t setting, uint64_t parent, uint64_t siblings)
{
	uint64_t own = least(usage, setting);

	if (siblings > parent)
		return scaled(own, parent, siblings);
	if (parent > siblings && parent_usage > siblings && usage > own)
		own += scaled(parent - siblings, usage - own, parent_usage - siblings);
	return own;
}

/* What reclaim from top leaves of each cgroup below it (emin), or leaves as long as it finds others (elow). */
void sim_memcg_protection(struct sim_machine *m, uint64_t top)
{
	uint64_t siblings_low = 0, siblings_min = 0, known = SIM_NO_LIMIT;

	m->memcg[top].elow = m->memcg[top].emin = 0;
	for (uint64_t id = top + 1; id < m->nr_memcg; id++) {
		struct sim_memcg *c = &m->memcg[id];
		const struct sim_memcg *parent = &m->memcg[c->parent];
		uint64_t usage = sim_memcg_usage(c), above = sim_memcg_usage(parent);

		if (!sim_memcg_below(m, id, top))
			continue;
		if (c->parent == top) {
			c->elow = c->low;
			c->emin = c->min;
			continue;
		}
		if (c->parent != known) {
			known = c->parent;
			siblings_low = siblings_min = 0;
			for (uint64_t k = known + 1; k < m->nr_memcg; k++)
				if (m->memcg[k].parent == known) {
					siblings_low += least(sim_memcg_usage(&m->memcg[k]), m->memcg[k].low);
					siblings_min += least(sim_memcg_usage(&m->memcg[k]), m->memcg[k].min);
				}
		}
		c->elow = effective(usage, above, c->low, parent->elow, siblings_low);
		c->emin = effective(usage, above, c->min, parent->emin, siblings_min);
	}
}

static uint64_t reclaim(struct sim_machine *m, uint32_t area, uint64_t memcg, uint64_t goal, int hard, int64_t t,
			int64_t *wait)
{
	struct sim_scan s = { .memcg = memcg, .nr_nodes = m->nr_node, .t = t, .cost = wait };
	uint64_t got, scanned = 0;

	s.nodes = m->node[m->process[m->area[area].process].node].order;
	s.scanned = &scanned;
	got = (hard ? sim_shrink_hard : sim_shrink)(m, &s, goal > SIM_CLUSTER ? goal : SIM_CLUSTER);
	m->memcg[memcg].pgscan += scanned;
	m->memcg[memcg].pgsteal += got;
	m->pgscan_direct += scanned;
	m->pgsteal_direct += got;
	return got;
}

/* The first one, upwards, that has no room for nr more pages; 0: all have. */
static uint64_t full(const struct sim_machine *m, uint64_t id, uint64_t nr)
{
	for (; id; id = m->memcg[id].parent) {
		const struct sim_memcg *c = &m->memcg[id];

		if (c->max != SIM_NO_LIMIT && sim_memcg_usage(c) + nr > c->max)
			break;
	}
	return id;
}

/* How long who charged nr pages is delayed, ns: by the square of the part by which the worst is above high. */
static int64_t delay(const struct sim_machine *m, uint64_t id, uint64_t nr)
{
	uint64_t worst = 0;
	unsigned __int128 ns;

	for (; id; id = m->memcg[id].parent) {
		const struct sim_memcg *c = &m->memcg[id];
		uint64_t usage = sim_memcg_usage(c), over;

		if (usage <= c->high)
			continue;
		over = ((usage - c->high) << 20) / (c->high ? c->high : 1);
		worst = over > worst ? over : worst;
	}
	ns = (unsigned __int128)worst * worst * 1000000000 * nr >> 40;
	return ns < (unsigned __int128)HIGH_MOST_NS ? (int64_t)ns : HIGH_MOST_NS;
}

/* nr pages were charged above high: reclaim as many, and wait if that is not enough (mem_cgroup_handle_over_high). */
static void over_high(struct sim_machine *m, uint32_t area, uint64_t nr, int64_t t, int64_t *wait)
{
	uint64_t leaf = m->area[area].memcg, goal = nr;
	int retries = HIGH_RETRIES;
	int64_t penalty;

	for (;;) {
		uint64_t got = 0;

		for (uint64_t id = leaf; id; id = m->memcg[id].parent) {
			if (sim_memcg_usage(&m->memcg[id]) <= m->memcg[id].high)
				continue;
			m->memcg[id].event_high++;
			got += reclaim(m, area, id, goal, 0, t, wait);
		}
		penalty = delay(m, leaf, nr);
		if (penalty <= HIGH_LEAST_NS)
			return;
		if (!got && !retries--)
			break;
		goal = SIM_CLUSTER;
	}
	*wait += penalty;
}

/*
 * Make room for nr more pages of an area, which the caller takes at once. 0: its process was killed. *wait grows by
 * what the process waits for. Without limits it costs nothing.
 */
int sim_memcg_charge(struct sim_machine *m, uint32_t area, uint64_t nr, int64_t t, int64_t *wait)
{
	uint64_t leaf = m->area[area].memcg, id;

	if (!leaf)
		return 1;
	while ((id = full(m, leaf, nr))) {
		m->memcg[id].event_max++;
		if (reclaim(m, area, id, nr, 1, t, wait))
			continue;
		m->memcg[id].event_oom++;
		if (!sim_oom(m, id, t))
			break; /* no process is left to kill: it is charged all the same */
		if (!m->area[area].mapped)
			return 0;
	}
	m->memcg[leaf].charged += nr;
	if (m->memcg[leaf].charged >= SIM_CHARGE_BATCH) {
		uint64_t batch = m->memcg[leaf].charged;

		m->memcg[leaf].charged = 0;
		over_high(m, area, batch, t, wait);
	}
	return 1;
}
