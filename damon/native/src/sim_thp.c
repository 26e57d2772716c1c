// SPDX-License-Identifier: GPL-2.0-only
/* Huge pages: folios of SIM_BLOCK pages of anonymous memory. */
#include <errno.h>

#include "sim.h"

#define MAX_PTES_SWAP 64 /* khugepaged's own limit, and how much it looks at, how often */
#define PAGES_TO_SCAN 4096
#define SCAN_SLEEP_NS 10000000000ll

/* Do faults and khugepaged make the block one folio? Advice counts as the machine's setting says. */
static int wanted(const struct sim_machine *m, const struct sim_area *a, uint64_t block)
{
	if (a->kind != KIND_ANON || (block + 1) * SIM_BLOCK > a->nr_pages)
		return 0;
	if (m->thp == THP_ALWAYS)
		return a->thp[block] == ADVISED_NOTHING || a->thp[block] == ADVISED_HUGE;
	return m->thp == THP_MADVISE && a->thp[block] == ADVISED_HUGE;
}

/* Neither in memory nor in swap. */
static int is_empty(const struct sim_area *a, uint64_t head)
{
	for (uint64_t i = head; i < head + SIM_BLOCK; i++)
		if (sim_page_present(a, i) || (sim_valid(a, i) && a->page[i].flags & PG_SWAPPED))
			return 0;
	return 1;
}

/* All pages of a block, none of them in memory, are the folio in frame from now on. New folios start inactive. */
static void insert(struct sim_machine *m, uint32_t area, uint64_t head, uint64_t frame, int64_t t)
{
	struct sim_area *a = &m->area[area];
	struct sim_page *p = &a->page[head];
	uint64_t node = sim_node(m, frame);

	for (uint64_t i = head; i < head + SIM_BLOCK; i++)
		sim_st_set(a, i, i == head ? ST_VALID : ST_TAIL);
	p->t_eval = p->t_last = t;
	p->t_ref = t - 1;
	p->frame = (uint32_t)frame;
	p->flags = PG_PRESENT | PG_HUGE;
	sim_residence_settle(a, t);
	a->nr_huge++;
	a->nr_present += SIM_BLOCK;
	a->node_present[node] += SIM_BLOCK;
	m->process[a->process].nr_present += SIM_BLOCK;
	sim_latency(m, area, head, SIM_BLOCK, node, 1, t);
	sim_lru_add(m, sim_list(a, 0), area, head, p);
}

/* A touch of a page in a block that is empty: all of it comes as one folio. 0: one page has to do. */
int sim_thp_fault(struct sim_machine *m, uint32_t area, uint64_t index, int64_t t)
{
	struct sim_area *a = &m->area[area];
	uint64_t head = index & ~(SIM_BLOCK - 1), frame;
	const uint64_t *order = m->node[m->process[a->process].node].order;

	if (!wanted(m, a, index >> SIM_BLOCK_SHIFT) || !is_empty(a, head))
		return 0;
	if (sim_memcg_room(m, a->memcg) < SIM_BLOCK) { /* nothing is reclaimed for it */
		m->thp_fault_fallback++;
		return 0;
	}
	for (uint64_t n = 0; n < m->nr_node; n++) {
		const struct sim_node *on = &m->node[order[n]];

		if (on->nr_free < on->wmark_low + SIM_BLOCK || !sim_frame_huge(m, order[n], area, head, &frame))
			continue;
		if (sim_seg_now(a)->pattern != PATTERN_NONE)
			for (uint64_t i = head; i < head + SIM_BLOCK; i++)
				a->page[i].covered = i == index ? 0 : a->epoch;
		insert(m, area, head, frame, t);
		m->thp_fault_alloc++;
		return 1;
	}
	m->thp_fault_fallback++;
	return 0;
}

/* A huge folio becomes pages, at the head of the list that it was on; what is known of it is known of each. */
void sim_thp_split(struct sim_machine *m, uint32_t area, uint64_t head, int64_t t)
{
	struct sim_area *a = &m->area[area];
	struct sim_page *p = &a->page[head];
	uint64_t node = sim_node(m, p->frame), seq;
	int list = sim_list(a, !!(p->flags & PG_ACTIVE));

	sim_latency(m, area, head, SIM_BLOCK, node, -1, t);
	sim_lru_count(m, area, node, list, -(int64_t)SIM_BLOCK);
	p->flags &= ~(uint32_t)PG_HUGE;
	seq = sim_lru_run(m, node, list, area, head, SIM_BLOCK);
	for (uint64_t i = 0; i < SIM_BLOCK; i++) {
		struct sim_page *q = &p[i];

		q->t_eval = p->t_eval;
		q->t_last = p->t_last;
		q->t_old = p->t_old;
		q->t_ref = p->t_ref;
		q->frame = p->frame + (uint32_t)i;
		q->flags = p->flags;
		q->seq = seq;
		sim_st_set(a, head + i, ST_VALID);
		sim_latency(m, area, head + i, 1, node, 1, t);
	}
	a->nr_huge--;
	m->thp_split_pmd++;
}

/* A page of a block leaves memory or swap since the block becomes one folio. */
static void take(struct sim_machine *m, uint32_t area, uint64_t index, int64_t t, int64_t *cost)
{
	struct sim_area *a = &m->area[area];
	struct sim_process *process = &m->process[a->process];
	struct sim_page *p = &a->page[index];
	uint64_t active = 0, frame, node;

	sim_residence_settle(a, t);
	if (!sim_page_present(a, index)) {
		if (sim_valid(a, index) && p->flags & PG_SWAPPED) {
			sim_swap_free(m, area, p);
			m->pswpin++;
			a->nr_swapped--;
			a->nr_evicted--;
			process->nr_swapped--;
			*cost += m->swap[p->swap].read_ns;
		}
		if (sim_seg_now(a)->pattern != PATTERN_NONE)
			p->covered = a->epoch;
		return;
	}
	frame = sim_page_frame(a, index);
	node = sim_node(m, frame);
	if (sim_valid(a, index))
		active = (p->flags & PG_ACTIVE) != 0;
	else if (sim_st(a, index) == ST_IDLE)
		a->nr_bulk_idle--;
	sim_lru_count(m, area, node, active ? LIST_ACTIVE : LIST_INACTIVE, -1);
	a->nr_present--;
	a->nr_active -= active;
	a->node_present[node]--;
	a->node_active[node] -= active;
	process->nr_present--;
	sim_latency(m, area, index, 1, node, -1, t);
	sim_frame_free(m, frame, 1);
}

/* The block's pages become one folio: 0, -EINVAL when there are none, -ENOMEM, -EBUSY by its cgroup's limits. */
static int collapse(struct sim_machine *m, uint32_t area, uint64_t block, int64_t t, int64_t *cost)
{
	struct sim_area *a = &m->area[area];
	uint64_t head = block << SIM_BLOCK_SHIFT, present[SIM_MAX_NODE] = { 0 }, found = 0, frame;
	uint64_t node = m->process[a->process].node;

	if (sim_folio_nr(a, head) > 1)
		return 0;
	for (uint64_t i = head; i < head + SIM_BLOCK; i++) {
		if (sim_page_present(a, i))
			present[sim_node(m, sim_page_frame(a, i))]++;
		else if (!sim_valid(a, i) || !(a->page[i].flags & PG_SWAPPED))
			continue;
		found++;
	}
	if (!found)
		return -EINVAL;
	if (sim_memcg_room(m, a->memcg) < SIM_BLOCK) /* it is charged before its pages are given back */
		return -EBUSY;
	for (uint64_t n = 0; n < m->nr_node; n++) /* where most of it is */
		if (present[n] > present[node])
			node = n;
	if (m->node[node].nr_free < m->node[node].wmark_min + SIM_BLOCK ||
	    !sim_frame_huge(m, node, area, head, &frame)) {
		m->thp_collapse_alloc_failed++;
		return -ENOMEM;
	}
	for (uint64_t i = head; i < head + SIM_BLOCK; i++)
		take(m, area, i, t, cost);
	insert(m, area, head, frame, t);
	m->thp_collapse_alloc++;
	*cost += m->huge_ns;
	return 0;
}

static void wake(struct sim_machine *m, int64_t t)
{
	if (!m->khugepaged && m->thp) {
		m->khugepaged = 1;
		sim_event_push(m, t, SIM_KSWAPD, SIM_KHUGEPAGED, 0);
	}
}

/* An area that may have huge pages without anybody's advice was mapped. */
void sim_thp_mapped(struct sim_machine *m, uint32_t area, int64_t t)
{
	if (wanted(m, &m->area[area], 0))
		wake(m, t);
}

/* Does khugepaged take a block? Some of its pages have to be in memory, one of them accessed, and few in swap. */
static int suits(struct sim_machine *m, uint32_t area, uint64_t head, int64_t t)
{
	struct sim_area *a = &m->area[area];
	uint64_t swapped = 0;
	int referenced = 0;

	if (sim_folio_nr(a, head) > 1)
		return 0;
	for (uint64_t i = head; i < head + SIM_BLOCK; i++) {
		struct sim_page *p = &a->page[i];

		if (!sim_page_present(a, i)) {
			swapped += sim_valid(a, i) && p->flags & PG_SWAPPED;
		} else if (!referenced && sim_valid(a, i)) {
			sim_page_advance(m, area, i, p, t);
			referenced = p->t_last > p->t_ref;
		} else {
			referenced = 1; /* nobody has asked for its accessed bit yet */
		}
	}
	return referenced && swapped <= MAX_PTES_SWAP;
}

/* One round of khugepaged, which goes on where it was; the next one after its sleep, as long as there is something. */
void sim_khugepaged(struct sim_machine *m, int64_t t)
{
	uint64_t left = 0, scanned = 0, any = 0;
	int64_t cost = 0;

	m->khugepaged = 0;
	for (uint64_t n = 0; n < m->nr_area; n++)
		left += m->area[n].nr_pages >> SIM_BLOCK_SHIFT;
	for (; left && scanned < PAGES_TO_SCAN; left--) {
		const struct sim_area *a;
		uint64_t block;

		while (m->khugepaged_block >= m->area[m->khugepaged_area].nr_pages >> SIM_BLOCK_SHIFT) {
			m->khugepaged_area = (m->khugepaged_area + 1) % m->nr_area;
			m->khugepaged_block = 0;
		}
		a = &m->area[m->khugepaged_area];
		block = m->khugepaged_block++;
		if (!a->mapped || !wanted(m, a, block))
			continue;
		any = 1;
		scanned += SIM_BLOCK;
		if (suits(m, (uint32_t)m->khugepaged_area, block << SIM_BLOCK_SHIFT, t))
			collapse(m, (uint32_t)m->khugepaged_area, block, t, &cost);
	}
	if (any) {
		m->khugepaged = 1;
		sim_event_push(m, t + SCAN_SLEEP_NS, SIM_KSWAPD, SIM_KHUGEPAGED, 0);
	}
}

enum sim_huge_advice { ADVICE_HUGEPAGE = 14, ADVICE_NOHUGEPAGE = 15, ADVICE_COLLAPSE = 25 };

/* MADV_HUGEPAGE, MADV_NOHUGEPAGE, MADV_COLLAPSE for pages [index, end) of one area; 0 or a negative errno. */
EXPORT int sim_thp_advise(struct sim_machine *m, uint32_t area, uint64_t index, uint64_t end, int advice, int64_t now,
			  int64_t *cost)
{
	struct sim_area *a = &m->area[area];
	uint64_t block = index >> SIM_BLOCK_SHIFT;
	int result = 0;

	if (advice != ADVICE_COLLAPSE) {
		uint8_t value = advice == ADVICE_HUGEPAGE ? ADVISED_HUGE : ADVISED_NOHUGE;

		for (; block << SIM_BLOCK_SHIFT < end; block++)
			if (block << SIM_BLOCK_SHIFT >= index && (block + 1) << SIM_BLOCK_SHIFT <= end)
				a->thp[block] = value;
			else if (a->thp[block] != value)
				a->thp[block] = ADVISED_PARTLY;
		if (advice == ADVICE_HUGEPAGE && a->kind == KIND_ANON)
			wake(m, now);
		return 0;
	}
	if (a->kind != KIND_ANON || a->nr_pages < SIM_BLOCK)
		return -EINVAL;
	if (index & (SIM_BLOCK - 1))
		block++;
	for (; (block + 1) << SIM_BLOCK_SHIFT <= end; block++) {
		int failed;

		if (a->thp[block] == ADVISED_NOHUGE || a->thp[block] == ADVISED_PARTLY)
			return -EINVAL;
		failed = collapse(m, area, block, now, cost);
		if (failed)
			result = failed;
		if (failed == -ENOMEM)
			break;
	}
	return result;
}
