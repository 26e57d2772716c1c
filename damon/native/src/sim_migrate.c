// SPDX-License-Identifier: GPL-2.0-only
/* Folios that move to another node. Twin: damon/mm/sim/reference/migrate.py. */
#include <stddef.h>

#include "sim.h"

/*
 * Move the chosen folios to their target_nid, as far as that node has more than its min watermark free; the pages that
 * moved. One that is there already, or shall go where no memory is, stays and counts as nothing.
 */
EXPORT uint64_t sim_migrate(struct sim_machine *m, const struct damon_folio *folios, uint32_t nr, int64_t now,
			    int64_t *spent)
{
	struct sim_hint hint = { NULL, 0 };
	uint64_t moved = 0, index;
	uint32_t area;

	for (uint32_t n = 0; n < nr; n++) {
		uint64_t target = (uint64_t)(int64_t)folios[n].target_nid;
		struct sim_node *on = &m->node[target];

		if (!(folios[n].flags & FOLIO_PASS) || target >= m->nr_node || !on->total ||
		    !sim_resolve(m, folios[n].pfn, &hint, &area, &index))
			continue;
		if (sim_node(m, sim_page_frame(&m->area[area], index)) == target)
			continue;
		if (on->nr_free > on->wmark_min) {
			sim_page_move(m, area, index, target, now);
			moved++;
			m->pgmigrate_success++;
			*spent += m->migrate_ns;
		} else {
			m->pgmigrate_fail++;
		}
		sim_node_wake(m, target, now);
	}
	return moved;
}
