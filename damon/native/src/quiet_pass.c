// SPDX-License-Identifier: GPL-2.0-only
/*
 * The pass of schemes at the end of an aggregation interval, as far as it finds no folio: under a quota a scheme comes
 * back to memory that is empty in every window. Step by step the same as kdamond_apply_schemes() of
 * damon/core/damos_walk.py, try_scheme() of damon/core/damos.py and adjust() of damon/core/quota.py, which do all
 * others.
 */
#include <string.h>

#include "results.h"

#define DEFAULT_BYTES_PER_MS (4096ull * 1024) /* before any throughput is known */
/* Greater numbers are for Python, which has no greatest one. */
#define MOST (1ull << 62)

static int is_full(const struct damon_quiet *q, const struct damos_quiet *s)
{
	return s->limited && (s->charged_sz >= s->esz || s->esz - s->charged_sz < q->min_region_sz);
}

static void set_effective_size(const struct damon_quiet *q, struct damos_quiet *s)
{
	unsigned __int128 throughput = DEFAULT_BYTES_PER_MS, esz = UINT64_MAX;

	if (s->ms) {
		if (s->total_charged_ns)
			throughput = (unsigned __int128)s->total_charged_sz * 1000000 / s->total_charged_ns;
		if (throughput <= UINT64_MAX / s->ms)
			esz = throughput * s->ms;
		if (esz < q->min_region_sz)
			esz = q->min_region_sz;
	}
	if (s->sz && s->sz < esz)
		esz = s->sz;
	s->esz = s->ms ? (uint64_t)esz : s->sz;
}

/* adjust(); 0: Python has to. */
static int adjust(const struct damon_quiet *q, struct damos_quiet *s, const struct damon_sampled *targets,
		  uint32_t nr_targets, uint64_t ticks, int acts)
{
	uint64_t histogram[100] = { 0 };
	uint32_t max_score = 0;

	if (!s->limited)
		return 1;
	if (ticks < s->charged_from || ticks - s->charged_from >= s->window_ticks) {
		if (!acts || !s->acts || s->total_charged_sz > MOST)
			return 0;
		s->qt_exceeds += (uint64_t)is_full(q, s);
		s->total_charged_sz += s->charged_sz;
		s->charged_from = ticks;
		s->charged_sz = 0;
		set_effective_size(q, s);
	}
	if (!s->scored)
		return 1;
	for (uint32_t n = 0; n < nr_targets; n++)
		max_score = damos_score_histogram(targets[n].regions, (uint32_t)targets[n].nr, &s->spec, &q->rates,
						  histogram, max_score);
	s->spec.min_score = damos_min_score(histogram, max_score, s->esz);
	return 1;
}

/* What one scheme wants of a target now. */
static void update_spec(const struct damon_quiet *q, struct damos_quiet *s, uint64_t target)
{
	int here = !s->resumes || s->resume_target == target;

	s->spec.wants = here && !is_full(q, s);
	s->spec.skip_below = s->resumes && here ? s->resume_addr : 0;
	s->spec.scored = s->limited;
}

/* Where a region that begins before the resume point is cut. */
static uint64_t resume_cut(const struct damon_quiet *q, const struct damos_quiet *s, const struct damon_region *r)
{
	uint64_t cut = (s->resume_addr - r->start) / q->min_region_sz * q->min_region_sz;

	return cut ? cut : q->min_region_sz;
}

/* Will the one scheme that is due try nothing but empty memory? Goes through its pass, of which nothing is done. */
static int tries_empty(const struct damon_quiet *q, struct damos_quiet s, const struct damon_sampled *targets,
		       uint32_t nr_targets, uint64_t addr_unit)
{
	for (uint32_t n = 0; n < nr_targets; n++) {
		const struct damon_sampled *t = &targets[n];

		update_spec(q, &s, n);
		for (uint64_t i = 0; i < t->nr && s.spec.wants; i++) {
			struct damon_region r = t->regions[i];
			uint64_t size, left = s.esz - s.charged_sz;

			while (r.start < s.spec.skip_below && r.end > s.spec.skip_below &&
			       damon_region_sz(&r) > resume_cut(q, &s, &r))
				r.start += resume_cut(q, &s, &r);
			if (r.start < s.spec.skip_below || !damos_wants(&r, &s.spec, &q->rates))
				continue;
			size = damon_region_sz(&r);
			if (s.limited && size > left)
				size = left / q->min_region_sz * q->min_region_sz;
			if (!damon_is_empty(t, r.start, r.start + size, addr_unit))
				return 0;
			s.charged_sz += size;
			s.spec.wants = !is_full(q, &s);
		}
		if (s.resumes && s.resume_target == n)
			s.resumes = 0;
	}
	return 1;
}

/* Are all regions empty that a scheme wants, and with them all parts that another one could cut off? */
static int wants_empty(const struct damon_quiet *q, struct damos_quiet *s, const struct damon_sampled *targets,
		       uint32_t nr_targets, uint64_t addr_unit, int may)
{
	for (uint32_t n = 0; n < nr_targets; n++) {
		const struct damon_sampled *t = &targets[n];

		update_spec(q, s, n);
		for (uint64_t i = 0; i < t->nr; i++)
			if (damos_wants(&t->regions[i], &s->spec, &q->rates) &&
			    !(may && damon_is_empty(t, t->regions[i].start, t->regions[i].end, addr_unit)))
				return 0;
	}
	return 1;
}

/* May the due schemes try what they want here? */
static int may_try(const struct damon_quiet *q, uint32_t nr_due, const struct damon_sampled *targets,
		   uint32_t nr_targets)
{
	for (uint32_t i = 0; i < nr_due; i++)
		if (!q->due[i].acts || q->due[i].sz_tried > MOST || q->due[i].charged_sz > MOST)
			return 0;
	for (uint32_t n = 0; n < nr_targets; n++) {
		uint64_t room = targets[n].room < targets[n].capacity ? targets[n].room : targets[n].capacity;

		/* Each may cut where it resumes, twice, and where its quota ends. */
		if (targets[n].nr + 3 * nr_due > room)
			return 0;
	}
	return 1;
}

static int leaves_memory_alone(const struct damon_quiet *q, uint32_t nr_due, const struct damon_sampled *targets,
			       uint32_t nr_targets, uint64_t addr_unit, int acts)
{
	int may = acts && may_try(q, nr_due, targets, nr_targets);

	if (may && nr_due == 1)
		return tries_empty(q, q->due[0], targets, nr_targets, addr_unit);
	for (uint32_t i = 0; i < nr_due; i++)
		if ((q->due[i].resumes && !may && !is_full(q, &q->due[i])) ||
		    !wants_empty(q, &q->due[i], targets, nr_targets, addr_unit, may))
			return 0;
	return 1;
}

static void split_at(struct damon_sampled *t, uint64_t index, uint64_t size)
{
	struct damon_region *r = &t->regions[index];

	memmove(r + 1, r, (t->nr++ - index) * sizeof(*r));
	r[0].end = r[1].start = r[0].start + size;
}

static void clear_charge_at_last(struct damos_quiet *s, const struct damon_sampled *t, uint64_t index)
{
	if (index == t->nr - 1) {
		s->resumes = 0;
		s->resume_addr = 0;
	}
}

/* damos_skip_charged_region() */
static int was_charged(const struct damon_quiet *q, struct damos_quiet *s, struct damon_sampled *t, uint64_t target,
		       uint64_t index)
{
	struct damon_region *r = &t->regions[index];
	uint64_t resume = s->resume_addr;

	if (s->resumes && s->resume_target != target)
		return 1;
	if (s->resumes && resume && r->end <= resume) {
		clear_charge_at_last(s, t, index);
		return 1;
	}
	if (s->resumes && resume && r->start < resume) {
		if (damon_region_sz(r) <= resume_cut(q, s, r))
			clear_charge_at_last(s, t, index);
		else
			split_at(t, index, resume_cut(q, s, r));
		return 1;
	}
	clear_charge_at_last(s, t, index);
	return 0;
}

/* Is there space for all attempts of a pass? */
static int may_keep(const struct damon_results *results, const struct damon_sampled *targets, uint32_t nr_targets,
		    uint64_t nr_schemes)
{
	uint64_t nr = 0;

	if (!results || !results->acts)
		return 1;
	for (uint32_t n = 0; n < nr_targets; n++)
		nr += targets[n].nr + 3 * nr_schemes; /* cut as in may_try() */
	return nr * nr_schemes <= (results->act_capacity - results->act_used) / RESULT_ACT_WORDS;
}

static void keep_attempt(struct damon_results *results, int64_t now, uint64_t scheme, uint64_t target,
			 const struct damon_region *r)
{
	uint64_t *to;

	if (!results || !results->acts)
		return;
	to = &results->acts[results->act_used];
	to[ACT_TIME] = (uint64_t)now;
	to[ACT_SCHEME] = scheme;
	to[ACT_TARGET] = target;
	to[ACT_START] = r->start;
	to[ACT_END] = r->end;
	to[ACT_APPLIED] = 0;
	results->act_used += RESULT_ACT_WORDS;
}

/* An attempt on a region without folios: it is charged, and nothing else happens. */
static void apply(const struct damon_quiet *q, struct damos_quiet *s, struct damon_sampled *t, uint64_t target,
		  uint64_t index, int64_t now)
{
	struct damon_region *r = &t->regions[index];
	uint64_t size = damon_region_sz(r), left = s->esz - s->charged_sz;

	if (s->limited && size > left) {
		size = left / q->min_region_sz * q->min_region_sz;
		split_at(t, index, size);
	}
	keep_attempt(q->results, now, s->position, target, r);
	s->charged_sz += size;
	if (is_full(q, s)) {
		s->resumes = 1;
		s->resume_target = target;
		s->resume_addr = r->end;
	}
	if (s->ages)
		r->age = 0;
	s->nr_tried++;
	s->sz_tried += size;
}

static void try(const struct damon_quiet *q, struct damos_quiet *s, struct damon_sampled *t, uint64_t target,
		uint64_t index, int64_t now)
{
	struct damos_spec spec = s->spec;

	if (is_full(q, s) || was_charged(q, s, t, target, index))
		return;
	spec.wants = 1;
	spec.skip_below = 0;
	if (damos_wants(&t->regions[index], &spec, &q->rates))
		apply(q, s, t, target, index, now);
	s->nr_snapshots += index == t->nr - 1;
}

/* All due schemes over one target; specs is scratch for what each wants. */
static void run(struct damon_quiet *q, struct damos_quiet *due, uint32_t nr_due, struct damon_sampled *t,
		uint64_t target, uint64_t sz_limit, int64_t now)
{
	uint32_t nr = (uint32_t)t->nr, index = 0;
	int tried = 0;

	for (;;) {
		for (uint32_t i = 0; i < nr_due; i++) {
			update_spec(q, &due[i], target);
			q->specs[i] = due[i].spec;
		}
		nr = (uint32_t)t->nr;
		index = (tried ? damos_next_after : damos_next_region)(t->regions, &nr, index, q->specs, nr_due,
								       &q->rates, sz_limit);
		t->nr = nr;
		if (index >= nr)
			return;
		for (uint32_t i = 0; i < nr_due; i++)
			try(q, &due[i], t, target, index, now);
		tried = 1;
	}
}

/* The pass of the due schemes. acts: one may try regions. 0: Python has to, and nothing has changed. */
int damos_quiet_pass(struct damon_quiet *q, struct damon_sampled *targets, uint32_t nr_targets, uint64_t addr_unit,
		     int64_t now, uint64_t sz_limit, int acts)
{
	uint64_t ticks = q->first_tick + (uint64_t)now / q->tick_ns;
	uint32_t nr_due = 0;

	acts = acts && may_keep(q->results, targets, nr_targets, q->nr_schemes);
	for (uint64_t i = 0; i < q->nr_schemes; i++) {
		struct damos_quiet *s = &q->due[nr_due];

		if (q->passed < q->schemes[i].next_apply)
			continue;
		*s = q->schemes[i];
		s->position = i;
		if (!adjust(q, s, targets, nr_targets, ticks, acts))
			return 0;
		nr_due++;
	}
	if (!leaves_memory_alone(q, nr_due, targets, nr_targets, addr_unit, acts))
		return 0;
	for (uint32_t n = 0; nr_due && n < nr_targets; n++)
		run(q, q->due, nr_due, &targets[n], n, sz_limit, now);
	for (uint32_t i = 0; i < nr_due; i++) {
		q->due[i].next_apply = q->passed + q->due[i].apply_samples;
		q->schemes[q->due[i].position] = q->due[i];
	}
	return 1;
}
