// SPDX-License-Identifier: GPL-2.0-only
/* NUMA nodes: where memory comes from, and what touching it costs. */
#include <string.h>

#include <stddef.h>

#include "sim.h"

uint64_t sim_res_node(const struct sim_machine *m, uint64_t frame)
{
	for (uint64_t n = 0; n < m->nr_res; n++)
		if (frame - m->res[n].frame < m->res[n].nr)
			return m->res[n].node;
	return 0;
}

/*
 * The node that a page of the area gets its frame from: the nearest to its process with more than the low watermark
 * (2), or else the min watermark (1) free, as get_page_from_freelist goes through the zonelist. 0: none, memory has to
 * be reclaimed first.
 */
int sim_node_pick(const struct sim_machine *m, uint32_t area, uint64_t *node)
{
	const uint64_t *order = m->node[m->process[m->area[area].process].node].order;

	for (int level = 2; level; level--)
		for (uint64_t n = 0; n < m->nr_node; n++) {
			const struct sim_node *on = &m->node[order[n]];

			if (on->nr_free > (level == 2 ? on->wmark_low : on->wmark_min)) {
				*node = order[n];
				return level;
			}
		}
	return 0;
}

/* Wake a node's reclaim daemon if it is below its low watermark. */
void sim_node_wake(struct sim_machine *m, uint64_t node, int64_t t)
{
	struct sim_node *on = &m->node[node];

	if (on->nr_free < on->wmark_low && !on->kswapd_awake && on->kswapd_failures < SIM_FAILURES) {
		on->kswapd_awake = 1;
		sim_event_push(m, t, SIM_KSWAPD, node, 0);
	}
}

/* No node had more than its low watermark. */
void sim_node_wake_all(struct sim_machine *m, int64_t t)
{
	for (uint64_t n = 0; n < m->nr_node; n++)
		sim_node_wake(m, n, t);
}

void sim_latency_settle(struct sim_area *a, int64_t t)
{
	if (t > a->latency_t)
		a->latency_ns += a->touch_ns * sim_seg_now(a)->rate * (double)(t - a->latency_t);
	a->latency_t = t;
}

/* Pages that come to a node's memory, or (sign -1) leave it: the share of the area's touches that are theirs. */
static void charge(const struct sim_machine *m, struct sim_area *a, uint64_t page, uint64_t nr, uint64_t node,
		   double sign)
{
	const struct sim_seg *s = sim_seg_now(a);
	double weights =
		sign * (s->pattern == PATTERN_TRACE ? sim_trace_weights(a, page, nr) : sim_seg_weights(s, page, nr));

	a->touch_ns += weights * (double)m->node[m->process[a->process].node].touch_ns[node];
	a->node_rate[node] += weights * s->rate;
}

void sim_latency_change(struct sim_machine *m, uint32_t area, uint64_t index, uint64_t nr, uint64_t node, int sign,
			int64_t t)
{
	struct sim_area *a = &m->area[area];

	sim_latency_settle(a, t);
	charge(m, a, index, nr, node, sign);
}

/*
 * The mean touch of an area whose accesses have just changed: over its pages in memory, one stretch on a node at a
 * time.
 */
void sim_latency_area(struct sim_machine *m, uint32_t area)
{
	struct sim_area *a = &m->area[area];
	uint64_t run = 0, run_node = SIM_MAX_NODE, ext_node = 0;
	uint32_t e = 0;

	if (!m->latency)
		return;
	a->touch_ns = 0.0;
	memset(a->node_rate, 0, sizeof(a->node_rate));
	for (uint64_t i = 0; i <= a->nr_pages; i++) {
		uint64_t node = SIM_MAX_NODE; /* none */

		if (i < a->nr_bulk) {
			while (i - a->ext[e].page >= a->ext[e].nr)
				e++;
			if (i == a->ext[e].page)
				ext_node = sim_node(m, a->ext[e].frame);
		}
		if (i < a->nr_pages && sim_page_present(a, i))
			node = sim_st(a, i) < ST_VALID ? ext_node : sim_node(m, sim_page_frame(a, i));
		if (node != run_node) {
			if (run_node != SIM_MAX_NODE)
				charge(m, a, run, i - run, run_node, 1);
			run = i;
			run_node = node;
		}
		if (node == SIM_MAX_NODE && !(i & 3) && i >= a->nr_bulk && i + 4 <= a->nr_pages && !a->st[i >> 2])
			i += 3; /* four that never were */
	}
}
