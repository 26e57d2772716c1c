/* SPDX-License-Identifier: GPL-2.0-only */
/* What the parts of a simulated machine offer each other. */
#ifndef PYDAMON_SIM_H
#define PYDAMON_SIM_H

#include "sim_state.h"

static inline unsigned int sim_st(const struct sim_area *a, uint64_t index)
{
	return a->st[index >> 2] >> (index & 3) * 2 & 3;
}

static inline void sim_st_set(struct sim_area *a, uint64_t index, unsigned int st)
{
	unsigned int shift = (index & 3) * 2;

	a->st[index >> 2] = (uint8_t)((a->st[index >> 2] & ~(3u << shift)) | st << shift);
}

static inline int sim_valid(const struct sim_area *a, uint64_t index)
{
	return sim_st(a, index) == ST_VALID;
}

/* The first page of the folio that a page is in. */
static inline uint64_t sim_head(const struct sim_area *a, uint64_t index)
{
	return sim_st(a, index) == ST_TAIL ? index & ~(SIM_BLOCK - 1) : index;
}

/* Pages of a folio, by its first page. */
static inline uint64_t sim_folio_nr(const struct sim_area *a, uint64_t index)
{
	return sim_valid(a, index) && a->page[index].flags & PG_HUGE ? SIM_BLOCK : 1;
}

/* The list that an area's pages are on, by whether they are active. */
static inline int sim_list(const struct sim_area *a, int active)
{
	return a->locked ? (int)LIST_UNEVICTABLE : (int)a->kind * 2 + active;
}

/* Before nr_present or nr_evicted changes at t. */
static inline void sim_residence_settle(struct sim_area *a, int64_t t)
{
	double ns = (double)(t - a->residence_t);

	a->present_ns += ns * (double)a->nr_present;
	a->evicted_ns += ns * (double)a->nr_evicted;
	a->residence_t = t;
}

/* Can there be a page in this frame? */
static inline int sim_used(const struct sim_machine *m, uint64_t frame)
{
	uint64_t block = frame >> SIM_BLOCK_SHIFT;

	return m->used[block >> 6] >> (block & 63) & ~(m->vacant[frame >> 6] >> (frame & 63)) & 1;
}

/* sim_page.c */
const struct sim_ext *sim_area_ext(const struct sim_area *a, uint64_t index);
int sim_resolve_va(struct sim_machine *m, uint32_t process, uint64_t addr, uint32_t *hint, uint64_t *index);
struct sim_page *sim_page_get(struct sim_machine *m, uint32_t area, uint64_t index);
int sim_page_present(const struct sim_area *a, uint64_t index);
uint64_t sim_page_frame(const struct sim_area *a, uint64_t index);
uint64_t sim_page_pfn(const struct sim_machine *m, uint64_t frame);
void sim_page_mkold(struct sim_machine *m, uint32_t area, uint64_t index, int64_t now);
int sim_page_young(struct sim_machine *m, uint32_t area, uint64_t index, int64_t now);
int sim_page_referenced(struct sim_machine *m, uint32_t area, uint64_t index, struct sim_page *p, int64_t now);

/* sim_access.c */
void sim_page_advance(struct sim_machine *m, uint32_t area, uint64_t index, struct sim_page *p, int64_t now);
uint64_t sim_seg_count(const struct sim_seg *s, int64_t t);
int64_t sim_seg_time(const struct sim_seg *s, uint64_t k);
int sim_seg_next(const struct sim_seg *s, uint64_t page, uint64_t nr, uint64_t from, uint64_t *k);
double sim_seg_weight(const struct sim_seg *s, uint64_t index);
double sim_seg_write(const struct sim_area *a, uint64_t index, int64_t t);
double sim_seg_weights(const struct sim_seg *s, uint64_t page, uint64_t nr);
static inline const struct sim_seg *sim_seg_now(const struct sim_area *a)
{
	return &a->seg[a->nr_seg - 1];
}

/* sim_trace.c */
int64_t sim_trace_last(const struct sim_area *a, uint64_t page, uint64_t nr, int64_t lo, int64_t to, double *left);
int64_t sim_trace_next(const struct sim_area *a, uint64_t page, uint64_t nr, int64_t t, double left);
int sim_trace_pick(const struct sim_area *a, uint64_t page, uint64_t nr, int64_t t, double u, double slot,
		   uint64_t *index);
double sim_trace_writes(const struct sim_area *a, uint64_t page, int64_t lo, int64_t to);
double sim_trace_write(const struct sim_area *a, uint64_t page, int64_t t);
double sim_trace_touches(const struct sim_area *a, int64_t lo, int64_t to);
double sim_trace_weights(const struct sim_area *a, uint64_t page, uint64_t nr);

/* sim_frame.c */
uint64_t sim_frame_alloc(struct sim_machine *m, uint64_t node, uint32_t area, uint64_t index);
void sim_frame_prefer(struct sim_machine *m, uint64_t frame);
uint64_t sim_buddy_alloc(struct sim_machine *m);
int sim_buddy_alloc_block(struct sim_machine *m, int order, uint64_t *frame);
void sim_buddy_free(struct sim_machine *m, uint64_t frame);
void sim_buddy_push(struct sim_machine *m, uint64_t frame);
void sim_frame_free(struct sim_machine *m, uint64_t frame, uint64_t nr);
void sim_frame_isolate(struct sim_machine *m, uint64_t node);
int sim_frame_huge(struct sim_machine *m, uint64_t node, uint32_t area, uint64_t index, uint64_t *frame);
void sim_frame_bulk(struct sim_machine *m, uint64_t node, uint32_t area, uint64_t nr);

/* sim_node.c */
uint64_t sim_res_node(const struct sim_machine *m, uint64_t frame);
int sim_node_pick(const struct sim_machine *m, uint32_t area, uint64_t *node);
void sim_node_wake(struct sim_machine *m, uint64_t node, int64_t t);
void sim_node_wake_all(struct sim_machine *m, int64_t t);
void sim_latency_settle(struct sim_area *a, int64_t t);
void sim_latency_area(struct sim_machine *m, uint32_t area);
void sim_latency_change(struct sim_machine *m, uint32_t area, uint64_t index, uint64_t nr, uint64_t node, int sign,
			int64_t t);

/* The node of a frame. */
static inline uint64_t sim_node(const struct sim_machine *m, uint64_t frame)
{
	return m->nr_node == 1 ? 0 : sim_res_node(m, frame);
}

/* Pages [index, index + nr) came to (sign 1) or left (-1) the node at t. */
static inline void sim_latency(struct sim_machine *m, uint32_t area, uint64_t index, uint64_t nr, uint64_t node,
			       int sign, int64_t t)
{
	if (m->latency)
		sim_latency_change(m, area, index, nr, node, sign, t);
}

/* sim_lru.c */
void sim_lru_count(struct sim_machine *m, uint32_t area, uint64_t node, int list, int64_t nr);
void sim_lru_add(struct sim_machine *m, int list, uint32_t area, uint64_t index, struct sim_page *p);
uint64_t sim_lru_run(struct sim_machine *m, uint64_t node, int list, uint32_t area, uint64_t page, uint64_t nr);
int sim_lru_pop(struct sim_machine *m, struct sim_lruvec *vec, int list, uint32_t *area, uint64_t *index);
int sim_lru_activate(struct sim_machine *m, uint32_t area, uint64_t index);
int sim_lru_deactivate(struct sim_machine *m, uint32_t area, uint64_t index);

/* sim_event.c */
void sim_event_push(struct sim_machine *m, int64_t t, uint32_t area, uint64_t page, uint64_t nr);
void sim_event_pop(struct sim_machine *m, struct sim_event *out);
void sim_event_schedule(struct sim_machine *m, uint32_t area, uint64_t page, uint64_t nr, int64_t t);
void sim_event_cover(struct sim_machine *m, uint32_t area, uint64_t index, struct sim_page *p, int64_t t);
int sim_event_fire(struct sim_machine *m, const struct sim_event *ev, uint64_t *index);

/* sim_fault.c */
void sim_page_insert(struct sim_machine *m, uint32_t area, uint64_t index, struct sim_page *p, int64_t t, int active);
int sim_page_alloc(struct sim_machine *m, uint32_t area, uint64_t index, struct sim_page *p, int64_t t, int64_t *stall);
void sim_area_clear(struct sim_machine *m, uint32_t area, int64_t t);

void sim_advance(struct sim_machine *m, int64_t now);

/* sim_ops.c */
int sim_is_vacant(struct sim_machine *m, uint64_t pfn, uint64_t end);
uint32_t sim_folios(struct sim_machine *m, uint64_t *pfn, uint64_t end, struct damon_folio *out, uint32_t max);
void sim_phys_mkold(struct sim_machine *m, const uint64_t *addrs, uint32_t nr, int64_t now);
void sim_phys_young(struct sim_machine *m, const uint64_t *addrs, uint32_t nr, uint8_t *out, int64_t now);
void sim_virt_mkold(struct sim_machine *m, uint32_t process, const uint64_t *addrs, uint32_t nr, int64_t now);
void sim_virt_young(struct sim_machine *m, uint32_t process, const uint64_t *addrs, uint32_t nr, uint8_t *out,
		    int64_t now);

/* sim_memcg.c */
int sim_memcg_below(const struct sim_machine *m, uint64_t id, uint64_t top);
uint64_t sim_memcg_swap(const struct sim_machine *m, uint64_t id);
uint64_t sim_memcg_room(const struct sim_machine *m, uint64_t id);
void sim_memcg_age(struct sim_machine *m, uint64_t id, uint64_t nr);
void sim_memcg_protection(struct sim_machine *m, uint64_t top);
int sim_memcg_charge(struct sim_machine *m, uint32_t area, uint64_t nr, int64_t t, int64_t *wait);

/* Pages that a cgroup and those below it are charged. */
static inline uint64_t sim_memcg_usage(const struct sim_memcg *c)
{
	return c->nr[0] + c->nr[1] + c->nr[2] + c->nr[3] + c->nr[LIST_UNEVICTABLE];
}

static inline struct sim_lruvec *sim_lruvec(const struct sim_machine *m, uint64_t memcg, uint64_t node)
{
	return &m->lruvec[memcg * m->nr_node + node];
}

/*
 * Reclaim for want of memory: of a cgroup and those below it (0: of all memory), from nodes in this order. Whole: each
 * cgroup is looked at, as kswapd does, not only until there is enough.
 */
struct sim_scan {
	uint64_t memcg, nr_nodes;
	const uint64_t *nodes;
	int64_t t;
	int64_t *cost; /* grows by the time that it takes */
	uint64_t *scanned; /* and by the pages that were looked at */
	int whole, low_too, low_skipped;
};

/* sim_reclaim.c */
uint64_t sim_reclaim_page(struct sim_machine *m, uint32_t area, uint64_t index, struct sim_page *p, int64_t t,
			  uint64_t evictor, int64_t *cost);
uint64_t sim_shrink(struct sim_machine *m, struct sim_scan *s, uint64_t goal);
uint64_t sim_shrink_hard(struct sim_machine *m, struct sim_scan *s, uint64_t goal);

/* sim_oom.c */
int sim_oom(struct sim_machine *m, uint64_t memcg, int64_t t);

/* sim_migrate.c */
uint64_t sim_migrate_folio(struct sim_machine *m, uint32_t area, uint64_t index, uint64_t target, int64_t t);

/* sim_swap.c */
void sim_swap_take(struct sim_machine *m, uint32_t area, struct sim_page *p);
void sim_swap_free(struct sim_machine *m, uint32_t area, const struct sim_page *p);

/* sim_thp.c */
int sim_thp_fault(struct sim_machine *m, uint32_t area, uint64_t index, int64_t t);
void sim_thp_split(struct sim_machine *m, uint32_t area, uint64_t head, int64_t t);
void sim_thp_mapped(struct sim_machine *m, uint32_t area, int64_t t);
void sim_khugepaged(struct sim_machine *m, int64_t t);

/* sim_walk.c */
void sim_describe(const struct sim_machine *m, uint32_t area, uint64_t index, uint64_t pfn, struct damon_folio *out);

#endif
