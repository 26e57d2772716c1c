// SPDX-License-Identifier: GPL-2.0-only
/* Pages that come, processes that stall, areas that go. Twin: damon/mm/sim/reference/faults.py. */
#include <sys/mman.h>

#include "sim.h"
#include "sim_math.h"

/*
 * "Some" memory stall: [t, end) or what of it is not counted yet. A process that waits is waiting without a break, so
 * what lies ahead of t is always one stretch.
 */
static void psi_add(struct sim_machine *m, int64_t t, int64_t end)
{
	int64_t from = m->psi_end > t ? m->psi_end : t;

	if (end > from) {
		m->psi_ns += end - from;
		m->psi_end = end;
	}
}

/* The process, at t, has to wait for ns, after all it waits for already. */
static void stall(struct sim_machine *m, struct sim_process *p, int64_t t, int64_t ns, int memory)
{
	int64_t start = p->busy_until > t ? p->busy_until : t;

	p->busy_until = start + ns;
	p->stall_ns += (uint64_t)ns;
	if (memory)
		psi_add(m, t, p->busy_until);
}

void sim_wake_kswapd(struct sim_machine *m, int64_t t)
{
	if (m->nr_free < m->wmark_low && !m->kswapd_awake && m->kswapd_failures < SIM_FAILURES) {
		m->kswapd_awake = 1;
		sim_event_push(m, t, SIM_KSWAPD, 0, 0);
	}
}

/* A frame for the page. 0: its process was killed for want of memory. *wait: direct reclaim, ns. */
int sim_page_alloc(struct sim_machine *m, uint32_t area, uint64_t index, struct sim_page *p, int64_t t, int64_t *wait)
{
	while (m->nr_free <= m->wmark_min) {
		uint64_t got;

		m->allocstall++;
		got = sim_shrink(m, SIM_CLUSTER, t, wait, &m->pgscan_direct);
		m->pgsteal_direct += got;
		if (got)
			m->kswapd_failures = 0;
		else if (!sim_oom(m, t))
			break; /* nobody is left to kill: use the reserve */
		else if (!m->area[area].mapped)
			return 0;
	}
	if (!m->nr_free)
		return 0;
	p->frame = (uint32_t)sim_frame_alloc(m, area, index);
	sim_wake_kswapd(m, t);
	return 1;
}

/* The page, with its frame, is in memory from t on. New pages start inactive, as in the kernel. */
void sim_page_insert(struct sim_machine *m, uint32_t area, uint64_t index, struct sim_page *p, int64_t t, int active)
{
	struct sim_area *a = &m->area[area];
	struct sim_process *process = &m->process[a->process];

	if (p->flags & PG_SWAPPED) {
		m->swap_used--;
		a->nr_swapped--;
		process->nr_swapped--;
		m->pswpin++;
	}
	p->flags = PG_PRESENT | (active ? PG_ACTIVE : 0);
	p->t_eval = t;
	a->nr_present++;
	a->nr_active += (uint64_t)active;
	process->nr_present++;
	sim_lru_add(m, (int)a->kind * 2 + active, area, index, p);
}

/* Refaults that come sooner than the lists turn over go straight to the active list (mm/workingset.c). */
static int refault_active(const struct sim_machine *m, const struct sim_area *a, const struct sim_page *p)
{
	const uint64_t *nr = m->nr;
	uint64_t size = nr[2 + LIST_ACTIVE];

	if (!(p->flags & PG_EVICTED))
		return 0;
	if (a->kind == KIND_ANON)
		size += nr[2 + LIST_INACTIVE];
	if (m->swap_pages)
		size += nr[LIST_ACTIVE] + (a->kind == KIND_FILE ? nr[LIST_INACTIVE] : 0);
	return m->age - p->shadow <= size;
}

/* A touch at t finds the page absent. */
static void fault(struct sim_machine *m, uint32_t area, uint64_t index, struct sim_page *p, int64_t t)
{
	struct sim_area *a = &m->area[area];
	struct sim_process *process = &m->process[a->process];
	int64_t wait = 0, latency = m->fault_ns;
	int active, refault = (p->flags & PG_EVICTED) != 0;
	double write = sim_seg_now(a)->write;

	m->pgfault++;
	a->faults++;
	process->faults++;
	if (p->flags & PG_SWAPPED)
		latency += m->swap_read_ns;
	else if (a->kind == KIND_FILE)
		latency += m->file_read_ns;
	if (p->flags & PG_SWAPPED || a->kind == KIND_FILE)
		m->pgmajfault++;
	active = refault_active(m, a, p);
	if (!sim_page_alloc(m, area, index, p, t, &wait))
		return;
	if (refault) {
		a->refaults++;
		process->refaults++;
		if (a->kind == KIND_ANON)
			m->refault_anon++;
		else
			m->refault_file++;
	}
	sim_page_insert(m, area, index, p, t, active);
	p->t_last = t;
	p->t_ref = t - 1;
	if (a->kind == KIND_FILE &&
	    sim_uniform(m->seed, (uint64_t)area << SIM_PAGE_BITS | index, (uint64_t)t, DRAW_FAULT) <= write)
		p->flags |= PG_DIRTY;
	stall(m, process, t, wait + latency, wait || refault);
}

/* Map an area: its pages at once when populate (a stall only as far as memory has to be reclaimed for them). */
EXPORT void sim_area_map(struct sim_machine *m, uint32_t area, int populate, int64_t t)
{
	struct sim_area *a = &m->area[area];
	struct sim_process *process = &m->process[a->process];
	struct sim_seg *s = &a->seg[0];

	a->mapped = 1;
	a->epoch++;
	a->t_mapped = t;
	a->nr_seg = 1;
	s->t0 = t;
	s->rate = s->share = s->skew = s->write = 0.0;
	s->stride = s->period = s->base = 0;
	s->pattern = PATTERN_NONE;
	if (!populate)
		return;
	if (m->nr_free > m->wmark_high) {
		uint64_t room = m->nr_free - m->wmark_high;

		sim_frame_bulk(m, area, a->nr_pages < room ? a->nr_pages : room);
		if (a->nr_bulk)
			sim_lru_bulk(m, (int)a->kind * 2, area, a->nr_bulk);
		a->nr_present = a->nr_bulk;
		process->nr_present += a->nr_bulk;
	}
	for (uint64_t n = a->nr_bulk; n < a->nr_pages; n++) {
		struct sim_page *p = sim_page_get(m, area, n);
		int64_t wait = 0;

		if (!sim_page_alloc(m, area, n, p, t, &wait))
			return;
		sim_page_insert(m, area, n, p, t, 0);
		p->t_last = t;
		p->t_ref = t - 1;
		if (wait)
			stall(m, process, t, wait, 1);
	}
}

/* The touches of the stretch that ends at t. */
static void close_seg(struct sim_area *a, int64_t t)
{
	const struct sim_seg *s = sim_seg_now(a);

	a->touches += (uint64_t)((double)(t - s->t0) * s->rate);
}

/* Unmap: frames and swap slots are free again, nothing of the pages stays. */
EXPORT void sim_area_clear(struct sim_machine *m, uint32_t area, int64_t t)
{
	struct sim_area *a = &m->area[area];
	struct sim_process *process = &m->process[a->process];
	int list = (int)a->kind * 2;

	if (!a->mapped)
		return;
	for (uint32_t n = 0; n < a->nr_ext; n++) {
		struct sim_ext *x = &a->ext[n];
		uint64_t run = x->page, end = x->page + x->nr;

		for (uint64_t i = x->page; i < end; i++)
			if (sim_valid(a, i)) {
				if (i > run)
					sim_frame_free(m, x->frame + (run - x->page), i - run);
				run = i + 1;
			}
		if (end > run)
			sim_frame_free(m, x->frame + (run - x->page), end - run);
		x->nr = 0;
	}
	for (uint64_t i = 0; i < a->nr_pages; i++)
		if (!(i & 3) && !a->st[i >> 2])
			i += 3; /* four pristine ones */
		else if (sim_valid(a, i) && a->page[i].flags & PG_PRESENT)
			sim_frame_free(m, a->page[i].frame, 1);
	m->nr[list + LIST_ACTIVE] -= a->nr_active;
	m->nr[list + LIST_INACTIVE] -= a->nr_present - a->nr_active;
	m->swap_used -= a->nr_swapped;
	m->kswapd_failures = 0;
	process->nr_present -= a->nr_present;
	process->nr_swapped -= a->nr_swapped;
	close_seg(a, t);
	a->nr_present = a->nr_swapped = a->nr_active = 0;
	a->nr_bulk = a->bulk_seq = a->nr_bulk_idle = 0;
	a->nr_ext = 0;
	a->mapped = 0;
	a->epoch++;
	madvise(a->page, a->nr_pages * sizeof(*a->page), MADV_DONTNEED);
	madvise(a->st, (a->nr_pages + 3) / 4, MADV_DONTNEED);
}

/* What changes from t on for an area's accesses; *next is filled in but for base. */
EXPORT void sim_area_access(struct sim_machine *m, uint32_t area, struct sim_seg *next)
{
	struct sim_area *a = &m->area[area];
	struct sim_seg *s = &a->seg[a->nr_seg - 1];

	for (uint64_t n = 0; a->nr_bulk_idle && n < a->nr_bulk; n++)
		if (sim_st(a, n) == ST_IDLE)
			sim_page_get(m, area, n);
	if (s->pattern == PATTERN_STRIDED && next->pattern == PATTERN_STRIDED && s->stride == next->stride)
		next->base = sim_seg_count(s, next->t0) % s->period;
	close_seg(a, next->t0);
	if (a->nr_seg == SIM_MAX_SEG) { /* a page that nobody looked at for so long was not touched before */
		__builtin_memmove(a->seg, a->seg + SIM_MAX_SEG / 2, SIM_MAX_SEG / 2 * sizeof(*s));
		a->nr_seg = SIM_MAX_SEG / 2;
	}
	a->seg[a->nr_seg++] = *next;
	a->epoch++;
}

/* Everything that happens up to now. */
EXPORT void sim_advance(struct sim_machine *m, int64_t now)
{
	while (m->next_event <= now) {
		struct sim_event ev;
		struct sim_page *p;
		uint64_t index, got;
		int64_t cost = 0;

		sim_event_pop(m, &ev);
		if (ev.area == SIM_KSWAPD) {
			m->kswapd_awake = 0;
			if (m->nr_free >= m->wmark_high)
				continue;
			got = sim_shrink(m, SIM_CLUSTER, ev.t, &cost, &m->pgscan_kswapd);
			m->pgsteal_kswapd += got;
			if (!got) {
				m->kswapd_failures++;
				continue;
			}
			m->kswapd_failures = 0;
			m->kswapd_awake = 1;
			sim_event_push(m, ev.t + (cost > 0 ? cost : 1), SIM_KSWAPD, 0, 0);
			continue;
		}
		if (ev.epoch != m->area[ev.area].epoch || !sim_event_fire(m, &ev, &index))
			continue;
		p = sim_page_get(m, ev.area, index);
		if (p->flags & PG_PRESENT)
			p->covered = 0;
		else
			fault(m, ev.area, index, p, ev.t);
	}
}
