// SPDX-License-Identifier: GPL-2.0-only
/* A simulated machine as sample.h has machines: its spaces, and its time. The plain form: sim_ops.c, one call each. */
#include "sample.h"
#include <stddef.h>

#include "sim_place.h"

static void phys_mkold(void *space, const uint64_t *addrs, uint32_t nr, int64_t now)
{
	sim_phys_mkold(((struct sim_space *)space)->m, addrs, nr, now);
}

static void phys_young(void *space, const uint64_t *addrs, uint32_t nr, uint8_t *out, int64_t now)
{
	sim_phys_young(((struct sim_space *)space)->m, addrs, nr, out, now);
}

/* Of a page that may be there. */
static uint32_t accessed(struct sim_machine *m, uint32_t area, uint64_t index, int64_t t_old, int64_t now)
{
	const struct sim_area *a = &m->area[area];
	unsigned int st = sim_st(a, index);

	/* what follows these two, in short */
	if (st < ST_VALID && sim_seg_now(a)->pattern == PATTERN_NONE) {
		if (st != ST_IDLE)
			sim_page_mkold(m, area, index, t_old);
		return 0;
	}
	if (st == ST_VALID) {
		struct sim_page *p = &a->page[index];

		if (!(p->flags & PG_PRESENT))
			return 0;
		p->t_old = t_old;
		p->flags |= PG_IDLE;
		sim_page_advance(m, area, index, p, now);
		return p->t_last > t_old;
	}
	sim_page_mkold(m, area, index, t_old);
	return (uint32_t)sim_page_young(m, area, index, now);
}

#define CHUNK 64
/* Bytes of the map of vacant frames that a cache near the processor holds. */
#define NEAR (256 << 10)

/*
 * The samples in frames that may hold a page, how many; fetch: only have the maps of them read. Samples go by address:
 * most are in the same range as the one before. Whether there is a page is random: no branch depends on it.
 */
static inline uint32_t look_up(const struct sim_machine *m, const uint64_t *addrs, uint32_t nr, struct sim_place *out,
			       int fetch)
{
	uint64_t pfn0 = 1, size = 0, frame0 = 0;
	uint32_t kept = 0;

	for (uint32_t n = 0; n < nr; n++) {
		uint64_t at = (addrs[n] >> 12) - pfn0, frame;

		if (at >= size) {
			uint64_t k = m->nr_res;

			while (k && (addrs[n] >> 12) - m->res[k - 1].pfn >= m->res[k - 1].nr)
				k--;
			if (!k)
				continue;
			pfn0 = m->res[k - 1].pfn;
			size = m->res[k - 1].nr;
			frame0 = m->res[k - 1].frame;
			at = (addrs[n] >> 12) - pfn0;
		}
		frame = frame0 + at;
		if (fetch) {
			__builtin_prefetch(&m->vacant[frame >> 6]);
			continue;
		}
		out[kept].frame = frame;
		out[kept].sample = n;
		kept += (uint32_t)sim_used(m, frame);
	}
	return kept;
}

/* The samples of a small machine, whose maps are in a cache near the processor; pages' records are fetched early. */
static void near_accessed(struct sim_machine *m, const uint64_t *addrs, uint32_t nr, uint32_t *hits, int64_t t_old,
			  int64_t now)
{
	struct sim_hint hint = { 0 };
	struct sim_place at[CHUNK];

	for (uint32_t first = 0; first < nr; first += CHUNK) {
		uint32_t end = nr - first < CHUNK ? nr : first + CHUNK, nr_here = 0;

		for (uint32_t n = first; n < end; n++)
			if (sim_resolve(m, addrs[n] >> 12, &hint, &at[nr_here].area, &at[nr_here].index)) {
				__builtin_prefetch(&m->area[at[nr_here].area].page[at[nr_here].index]);
				at[nr_here++].sample = n;
			}
		for (uint32_t n = 0; n < nr_here; n++) {
			hits[at[n].sample] += accessed(m, at[n].area, at[n].index, t_old, now);
			m->sampled += 1 + m->area[at[n].area].more_looks;
		}
	}
}

/*
 * The order in which two samples of one page are taken is of no account: making it old twice at one time is the same as
 * once, and asking changes nothing but how far its history is drawn, which is up to now for both.
 *
 * Samples fall at random, so each record that one needs is fetched while others are looked at: the reverse map by
 * blocks and the map of vacant frames, then the reverse map by frames, the state, and at last the page's record.
 */
static void phys_accessed(void *space, const uint64_t *addrs, uint32_t nr, uint32_t *hits, int64_t t_old, int64_t now)
{
	struct sim_machine *m = ((struct sim_space *)space)->m;
	struct sim_place at[CHUNK];
	struct sim_hint hint = { 0 };

	if (!nr || (addrs[nr - 1] - addrs[0]) >> 15 <= NEAR) {
		near_accessed(m, addrs, nr, hits, t_old, now);
		return;
	}
	for (uint32_t first = 0; first < nr; first += CHUNK) {
		uint32_t chunk = nr - first < CHUNK ? nr - first : CHUNK, left, nr_here = 0;

		look_up(m, &addrs[first], chunk, at, 1);
		left = look_up(m, &addrs[first], chunk, at, 0);
		for (uint32_t n = 0; n < left; n++)
			__builtin_prefetch(&m->leaf[at[n].frame]);
		for (uint32_t n = 0; n < left; n++)
			if (sim_locate(m, &at[n])) {
				__builtin_prefetch(&m->area[at[n].area].st[at[n].index >> 2]);
				at[nr_here++] = at[n];
			}
		for (uint32_t n = 0; n < nr_here; n++)
			if (sim_st(&m->area[at[n].area], at[n].index) >= ST_VALID)
				__builtin_prefetch(
					&m->area[at[n].area].page[sim_head(&m->area[at[n].area], at[n].index)]);
		for (uint32_t n = 0; n < nr_here; n++)
			if (sim_settle(m, &at[n], &hint)) {
				hits[first + at[n].sample] += accessed(m, at[n].area, at[n].index, t_old, now);
				m->sampled += 1 + m->area[at[n].area].more_looks;
			}
	}
}

static int phys_empty(void *space, uint64_t start, uint64_t end)
{
	return sim_is_vacant(((struct sim_space *)space)->m, start >> 12, (end >> 12) + !!(end & 4095));
}

static int alive(const struct sim_space *s)
{
	return (int)s->m->process[s->process].alive;
}

static void virt_mkold(void *space, const uint64_t *addrs, uint32_t nr, int64_t now)
{
	const struct sim_space *s = space;

	if (alive(s))
		sim_virt_mkold(s->m, (uint32_t)s->process, addrs, nr, now);
}

static void virt_young(void *space, const uint64_t *addrs, uint32_t nr, uint8_t *out, int64_t now)
{
	const struct sim_space *s = space;

	if (alive(s))
		sim_virt_young(s->m, (uint32_t)s->process, addrs, nr, out, now);
	else
		__builtin_memset(out, 0, nr);
}

static void virt_accessed(void *space, const uint64_t *addrs, uint32_t nr, uint32_t *hits, int64_t t_old, int64_t now)
{
	const struct sim_space *s = space;
	struct sim_machine *m = s->m;
	uint32_t area = m->process[s->process].first_area;
	struct sim_place at[CHUNK];

	for (uint32_t first = 0; alive(s) && first < nr; first += CHUNK) {
		uint32_t end = nr - first < CHUNK ? nr - first : CHUNK, nr_here = 0;

		for (uint32_t n = 0; n < end; n++)
			if (sim_resolve_va(m, (uint32_t)s->process, addrs[first + n], &area, &at[nr_here].index)) {
				if (sim_valid(&m->area[area], at[nr_here].index))
					__builtin_prefetch(&m->area[area].page[at[nr_here].index]);
				at[nr_here].area = area;
				at[nr_here++].sample = first + n;
			}
		for (uint32_t n = 0; n < nr_here; n++) {
			const struct sim_area *a = &m->area[at[n].area];

			m->sampled += sim_page_present(a, at[n].index) ? 1 + a->more_looks : 0;
			hits[at[n].sample] += accessed(m, at[n].area, at[n].index, t_old, now);
		}
	}
}

/* Physical memory, or a process, as an address space that can be sampled. */
EXPORT void sim_access(struct damon_access *out, struct sim_space *space, int physical)
{
	out->space = space;
	out->mkold = physical ? phys_mkold : virt_mkold;
	out->young = physical ? phys_young : virt_young;
	out->accessed = physical ? phys_accessed : virt_accessed;
	out->empty = physical ? phys_empty : NULL;
}

/* A process that is killed is another machine to those who watch it. */
static int advance(void *machine, int64_t now)
{
	struct sim_machine *m = machine;
	uint64_t killed = m->oom_kill;

	sim_advance(m, now);
	return m->oom_kill != killed;
}

static uint64_t free_pages(void *machine)
{
	const struct sim_machine *m = machine;
	uint64_t nr = 0;

	for (uint64_t n = 0; n < m->nr_node; n++)
		nr += m->node[n].nr_free;
	return nr;
}

/* What a machine's time is passed by. */
EXPORT void sim_time(struct damon_time *out, struct sim_machine *m)
{
	out->machine = m;
	out->advance = advance;
	out->free_pages = free_pages;
	out->next_event = &m->next_event;
	out->sampled = &m->sampled;
}
