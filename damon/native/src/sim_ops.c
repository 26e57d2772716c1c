// SPDX-License-Identifier: GPL-2.0-only
/* What operations sets ask for, in batches. */
#include <stddef.h>

#include "sim_place.h"

/*
 * Hide the latency of memory, big machines do not fit the caches: fetch the state of the page that a later sample will
 * most likely hit, as far from this one's as its address is.
 */
#define AHEAD 16

static inline void prefetch(const struct sim_machine *m, const uint64_t *addrs, uint32_t at, uint32_t nr, uint32_t area,
			    uint64_t index)
{
	if (at + AHEAD < nr) {
		const struct sim_area *a = &m->area[area];

		index += (addrs[at + AHEAD] >> 12) - (addrs[at] >> 12);
		if (index < a->nr_pages)
			__builtin_prefetch(&a->st[index >> 2]);
	}
}

EXPORT void sim_phys_mkold(struct sim_machine *m, const uint64_t *addrs, uint32_t nr, int64_t now)
{
	struct sim_hint hint = { 0 };
	uint32_t area;
	uint64_t index;

	for (uint32_t n = 0; n < nr; n++) {
		if (sim_resolve(m, addrs[n] >> 12, &hint, &area, &index)) {
			prefetch(m, addrs, n, nr, area, index);
			sim_page_mkold(m, area, index, now);
			m->sampled += 1 + m->area[area].more_looks;
		}
	}
}

EXPORT void sim_phys_young(struct sim_machine *m, const uint64_t *addrs, uint32_t nr, uint8_t *out, int64_t now)
{
	struct sim_hint hint = { 0 };
	uint32_t area;
	uint64_t index;

	for (uint32_t n = 0; n < nr; n++) {
		out[n] = 0;
		if (sim_resolve(m, addrs[n] >> 12, &hint, &area, &index)) {
			prefetch(m, addrs, n, nr, area, index);
			out[n] = (uint8_t)sim_page_young(m, area, index, now);
		}
	}
}

EXPORT void sim_virt_mkold(struct sim_machine *m, uint32_t process, const uint64_t *addrs, uint32_t nr, int64_t now)
{
	uint32_t area = m->process[process].first_area;
	uint64_t index;

	for (uint32_t n = 0; n < nr; n++)
		if (sim_resolve_va(m, process, addrs[n], &area, &index)) {
			sim_page_mkold(m, area, index, now);
			m->sampled += sim_page_present(&m->area[area], index) ? 1 + m->area[area].more_looks : 0;
		}
}

EXPORT void sim_virt_young(struct sim_machine *m, uint32_t process, const uint64_t *addrs, uint32_t nr, uint8_t *out,
			   int64_t now)
{
	uint32_t area = m->process[process].first_area;
	uint64_t index;

	for (uint32_t n = 0; n < nr; n++)
		out[n] = sim_resolve_va(m, process, addrs[n], &area, &index) && sim_page_young(m, area, index, now);
}

static int is_vacant(const struct sim_machine *m, uint64_t block)
{
	const uint64_t *word = &m->vacant[block << (SIM_BLOCK_SHIFT - 6)];

	return !~(word[0] & word[1] & word[2] & word[3] & word[4] & word[5] & word[6] & word[7]);
}

/* The first frame of [frame, end) that may hold a page; end: none does. */
static uint64_t next_used(struct sim_machine *m, uint64_t frame, uint64_t end)
{
	while (frame < end) {
		uint64_t block = frame >> SIM_BLOCK_SHIFT, blocks = m->used[block >> 6] >> (block & 63), word;

		if (!blocks) {
			frame = ((block | 63) + 1) << SIM_BLOCK_SHIFT;
		} else if (!(blocks & 1)) {
			frame = (block + (uint64_t)__builtin_ctzll(blocks)) << SIM_BLOCK_SHIFT;
		} else if (is_vacant(m, block)) {
			m->used[block >> 6] &= ~(1ull << (block & 63)); /* until a page comes */
		} else {
			word = ~m->vacant[frame >> 6] >> (frame & 63);
			if (word) {
				frame += (uint64_t)__builtin_ctzll(word);
				return frame < end ? frame : end;
			}
			frame = (frame | 63) + 1;
		}
	}
	return end;
}

/* Is it known that there is no page in frames [pfn, end)? */
int sim_is_vacant(struct sim_machine *m, uint64_t pfn, uint64_t end)
{
	for (uint64_t r = m->nr_res; r-- > 0;) { /* the biggest is the last */
		const struct sim_res *res = &m->res[r];
		uint64_t first = pfn > res->pfn ? pfn : res->pfn, last = res->pfn + res->nr;

		last = last < end ? last : end;
		if (first >= last)
			continue;
		if (next_used(m, res->frame + (first - res->pfn), res->frame + (last - res->pfn)) <
		    res->frame + (last - res->pfn))
			return 0;
		if (first == pfn && last == end)
			break;
	}
	return 1;
}

/* Go on from frame number *pfn of a resource to the next folio; 0: there is none before end. */
static inline int next_folio(struct sim_machine *m, const struct sim_res *res, uint64_t *pfn, uint64_t end,
			     struct sim_hint *hint, struct sim_place *place)
{
	while (*pfn < end) {
		if (sim_near(m, *pfn, hint, &place->index) > 0) {
			place->area = hint->near;
			return 1;
		}
		*pfn = res->pfn - res->frame +
		       next_used(m, res->frame + (*pfn - res->pfn), res->frame + (end - res->pfn));
		if (*pfn == end)
			break;
		if (sim_look_up(m, *pfn, res, hint, place))
			return 1;
		(*pfn)++;
	}
	return 0;
}

/* The folios in frames [*pfn, end), up to max of them. *pfn: where to go on. */
EXPORT uint32_t sim_folios(struct sim_machine *m, uint64_t *pfn, uint64_t end, struct damon_folio *out, uint32_t max)
{
	struct sim_hint hint = { 0 };
	struct sim_place place;
	uint32_t nr = 0;
	uint64_t at = *pfn;

	for (uint64_t r = 0; r < m->nr_res; r++) {
		const struct sim_res *res = &m->res[r];
		uint64_t stop = res->pfn + res->nr < end ? res->pfn + res->nr : end;

		if (at < res->pfn)
			at = res->pfn;
		while (next_folio(m, res, &at, stop, &hint, &place)) {
			if (nr == max) {
				*pfn = at;
				return nr;
			}
			sim_describe(m, place.area, place.index, at, &out[nr]);
			at = out[nr].pfn + out[nr].nr_pages;
			nr++;
		}
	}
	*pfn = end;
	return nr;
}

EXPORT void sim_folios_young(struct sim_machine *m, struct damon_folio *folios, uint32_t nr, int64_t now)
{
	struct sim_hint hint = { 0 };
	uint32_t area;
	uint64_t index;

	for (uint32_t n = 0; n < nr; n++) {
		struct damon_folio *f = &folios[n];

		if (f->flags & FOLIO_DECIDED)
			continue;
		if (sim_resolve(m, f->pfn, &hint, &area, &index) && sim_page_young(m, area, index, now))
			f->flags |= FOLIO_YOUNG;
		else
			f->flags &= ~(uint32_t)FOLIO_YOUNG;
	}
}

EXPORT void sim_folios_mkold(struct sim_machine *m, const struct damon_folio *folios, uint32_t nr, int64_t now)
{
	struct sim_hint hint = { 0 };
	uint32_t area;
	uint64_t index;

	for (uint32_t n = 0; n < nr; n++)
		if ((folios[n].flags & (FOLIO_DECIDED | FOLIO_YOUNG)) == FOLIO_YOUNG &&
		    sim_resolve(m, folios[n].pfn, &hint, &area, &index))
			sim_page_mkold(m, area, index, now);
}

/* Reclaim the chosen folios, accessed or not, but for locked ones; the pages that left. */
EXPORT uint64_t sim_pageout(struct sim_machine *m, const struct damon_folio *folios, uint32_t nr, int64_t now,
			    int64_t *cost)
{
	uint64_t reclaimed = 0, index;
	struct sim_hint hint = { 0 };
	uint32_t area;

	for (uint32_t n = 0; n < nr; n++)
		if (folios[n].flags & FOLIO_PASS && sim_resolve(m, folios[n].pfn, &hint, &area, &index) &&
		    !m->area[area].locked)
			reclaimed += sim_reclaim_page(m, area, index, sim_page_get(m, area, index), now, 0, cost);
	m->pgsteal_advised += reclaimed;
	return reclaimed;
}

/* Put the chosen folios on the active or the inactive list; their pages. */
EXPORT uint64_t sim_lru_move(struct sim_machine *m, const struct damon_folio *folios, uint32_t nr, int active)
{
	uint64_t pages = 0, index;
	struct sim_hint hint = { 0 };
	uint32_t area;

	for (uint32_t n = 0; n < nr; n++) {
		if (!(folios[n].flags & FOLIO_PASS) || !sim_resolve(m, folios[n].pfn, &hint, &area, &index))
			continue;
		if (active)
			sim_lru_activate(m, area, index);
		else
			sim_lru_deactivate(m, area, index);
		pages += sim_folio_nr(&m->area[area], index);
	}
	return pages;
}

/* MADV_WILLNEED: read in what is in swap or on disk, as far as free memory goes; nobody waits for it. */
static void willneed(struct sim_machine *m, uint32_t area, uint64_t index, int64_t now)
{
	struct sim_area *a = &m->area[area];
	struct sim_page *p;
	uint64_t node;
	int found;

	if (sim_page_present(a, index) || !sim_memcg_room(m, a->memcg))
		return;
	found = sim_node_pick(m, area, &node);
	if (!found)
		return;
	p = sim_page_get(m, area, index);
	if (a->kind == KIND_ANON && !(p->flags & PG_SWAPPED))
		return;
	p->frame = (uint32_t)sim_frame_alloc(m, node, area, index);
	sim_page_insert(m, area, index, p, now, 0);
	p->t_ref = now;
	if (sim_seg_now(a)->pattern != PATTERN_NONE)
		p->covered = a->epoch;
	if (found == 1)
		sim_node_wake_all(m, now);
}

enum sim_advice { ADVICE_WILLNEED = 3, ADVICE_COLD = 20, ADVICE_PAGEOUT = 21 };

/* One advice for pages [index, end) of one area; the pages that left (pageout) or changed lists (cold). */
EXPORT uint64_t sim_advise(struct sim_machine *m, uint32_t area, uint64_t index, uint64_t end, int advice, int64_t now,
			   int64_t *cost)
{
	struct sim_area *a = &m->area[area];
	uint64_t done = 0, nr, head;

	for (; index < end; index++) {
		if (advice == ADVICE_WILLNEED) {
			willneed(m, area, index, now);
			continue;
		}
		if (!sim_page_present(a, index))
			continue;
		nr = 1;
		head = sim_head(a, index);
		if (sim_folio_nr(a, head) > 1) { /* a part of a huge folio: it is split */
			if (head == index && end - index >= SIM_BLOCK) {
				nr = SIM_BLOCK;
			} else {
				m->thp_split_page++;
				sim_thp_split(m, area, head, now);
			}
		}
		if (advice == ADVICE_PAGEOUT) {
			done += sim_reclaim_page(m, area, index, sim_page_get(m, area, index), now, 0, cost);
		} else { /* the accessed bit goes, with it what monitoring has not seen yet */
			struct sim_page *p = sim_page_get(m, area, index);

			p->t_ref = now;
			if (p->flags & PG_IDLE)
				p->t_old = now;
			p->flags &= ~(uint32_t)PG_REFERENCED;
			done += nr * (uint64_t)sim_lru_deactivate(m, area, index);
		}
		index += nr - 1;
	}
	if (advice == ADVICE_PAGEOUT)
		m->pgsteal_advised += done;
	return done;
}
