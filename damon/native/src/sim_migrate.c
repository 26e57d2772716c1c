// SPDX-License-Identifier: GPL-2.0-only
/* Folios that move to another node. */
#include <stddef.h>

#include "sim_place.h"

/* A folio from its frames to others. What monitoring and reclaim know of it goes with it. */
static void move(struct sim_machine *m, uint32_t area, uint64_t index, uint64_t frame, int64_t t)
{
	struct sim_area *a = &m->area[area];
	struct sim_page *p = sim_page_get(m, area, index);
	uint64_t before = p->frame, from = sim_node(m, before), node = sim_node(m, frame), nr = sim_folio_nr(a, index);
	uint64_t active = p->flags & PG_ACTIVE ? nr : 0;
	int list = sim_list(a, active != 0);

	sim_lru_count(m, area, from, list, -(int64_t)nr);
	a->node_present[from] -= nr;
	a->node_active[from] -= active;
	sim_latency(m, area, index, nr, from, -1, t);
	p->frame = (uint32_t)frame;
	sim_frame_free(m, before, nr);
	a->node_present[node] += nr;
	a->node_active[node] += active;
	sim_latency(m, area, index, nr, node, 1, t);
	sim_lru_add(m, list, area, index, p);
}

/* One folio to a node, a huge one in pieces when no free piece there is as big; the pages that moved. */
uint64_t sim_migrate_folio(struct sim_machine *m, uint32_t area, uint64_t index, uint64_t target, int64_t t)
{
	const struct sim_node *on = &m->node[target];
	uint64_t nr = sim_folio_nr(&m->area[area], index), frame, moved = 0;

	if (nr == 1) {
		sim_page_get(m, area, index);
		if (on->nr_free <= on->wmark_min)
			return 0;
		move(m, area, index, sim_frame_alloc(m, target, area, index), t);
		return 1;
	}
	if (on->nr_free >= on->wmark_min + nr && sim_frame_huge(m, target, area, index, &frame)) {
		move(m, area, index, frame, t);
		m->thp_migration_success++;
		return nr;
	}
	m->thp_migration_split++;
	m->thp_split_page++;
	sim_thp_split(m, area, index, t);
	for (uint64_t i = index; i < index + nr; i++)
		moved += sim_migrate_folio(m, area, i, target, t);
	return moved;
}

/*
 * Move the chosen folios to their target_nid, as far as that node has more than its min watermark free; the pages that
 * moved. One that is there already, or shall go where no memory is, stays and counts as nothing.
 */
EXPORT uint64_t sim_migrate(struct sim_machine *m, const struct damon_folio *folios, uint32_t nr, int64_t now,
			    int64_t *spent)
{
	struct sim_hint hint = { 0 };
	uint64_t moved = 0, index, pages, got;
	uint32_t area;

	for (uint32_t n = 0; n < nr; n++) {
		uint64_t target = (uint64_t)(int64_t)folios[n].target_nid;

		if (!(folios[n].flags & FOLIO_PASS) || target >= m->nr_node || !m->node[target].total ||
		    !sim_resolve(m, folios[n].pfn, &hint, &area, &index))
			continue;
		if (sim_node(m, sim_page_frame(&m->area[area], index)) == target)
			continue;
		pages = sim_folio_nr(&m->area[area], index);
		got = sim_migrate_folio(m, area, index, target, now);
		moved += got;
		m->pgmigrate_success += got;
		m->pgmigrate_fail += pages - got;
		*spent += (int64_t)got * m->migrate_ns;
		sim_node_wake(m, target, now);
	}
	return moved;
}
