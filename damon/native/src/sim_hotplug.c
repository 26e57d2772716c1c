// SPDX-License-Identifier: GPL-2.0-only
/* Memory that comes and goes. */
#include <stddef.h>

#include "sim_place.h"

/*
 * Make one frame of a range that goes offline free: its folio to another node, or where none has room to the rest of
 * this one, or what nobody uses out of memory. 0: there is no room.
 */
static int evacuate(struct sim_machine *m, uint64_t node, uint32_t area, uint64_t index, int64_t t)
{
	const uint64_t *order = m->node[node].order;
	int64_t cost = 0;
	struct sim_scan s = {
		.nodes = order, .nr_nodes = m->nr_node, .t = t, .cost = &cost, .scanned = &m->pgscan_direct
	};
	uint64_t got;

	for (uint64_t n = 1; n <= m->nr_node; n++) {
		uint64_t target = order[n % m->nr_node]; /* the node itself is the first one */

		if (m->node[target].nr_free <= m->node[target].wmark_min)
			continue;
		got = sim_migrate_folio(m, area, index, target, t);
		m->pgmigrate_success += got;
		return 1;
	}
	got = sim_shrink(m, &s, SIM_CLUSTER);
	m->pgsteal_direct += got;
	return got > 0;
}

/* The last nr pages of a resource go offline. 0: not all could be moved away; only places of pages have changed. */
EXPORT int sim_offline(struct sim_machine *m, uint64_t number, uint64_t nr, int64_t t)
{
	struct sim_res *res = &m->res[number];
	uint64_t frame = res->frame + res->nr - nr, pfn = res->pfn + res->nr - nr, index, run = 0;
	uint32_t area;
	int failed = 0;

	m->isolated = frame;
	m->nr_isolated = nr;
	sim_frame_isolate(m, res->node);
	for (uint64_t i = 0; i < nr && !failed; i++) {
		for (;;) {
			struct sim_hint hint = { 0 };

			if (!sim_resolve(m, pfn + i, &hint, &area, &index))
				break;
			if (!evacuate(m, res->node, area, index, t)) {
				failed = 1;
				break;
			}
		}
	}
	m->isolated = m->nr_isolated = 0;
	if (!failed) {
		res->nr -= nr;
		m->node[res->node].total -= nr;
		return 1;
	}
	for (uint64_t i = 0; i <= nr; i++) {
		struct sim_hint hint = { 0 };

		if (i < nr && !sim_resolve(m, pfn + i, &hint, &area, &index))
			continue;
		if (i > run)
			sim_frame_free(m, frame + run, i - run);
		run = i + 1;
	}
	return 0;
}

/* The next nr pages of a resource come online. */
EXPORT void sim_online(struct sim_machine *m, uint64_t number, uint64_t nr)
{
	struct sim_res *res = &m->res[number];

	res->nr += nr;
	m->node[res->node].total += nr;
	m->node[res->node].kswapd_failures = 0;
	sim_frame_free(m, res->frame + res->nr - nr, nr);
}
