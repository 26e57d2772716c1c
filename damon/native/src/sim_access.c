// SPDX-License-Identifier: GPL-2.0-only
/*
 * When pages are touched. Nothing is stepped. The touches of a deterministic pattern are numbered, so when a page had
 * its last one is arithmetic. Random patterns touch each page as a Poisson process, which has no memory: all that can
 * ever be asked of a page's past is when its last touch was. So a page carries t_eval, up to where its past is drawn,
 * and t_last; whoever asks next draws the last touch in (t_eval, now], if any, and the answers of all observers fit
 * together. The draw is a hash of seed, page and t_eval.
 */
#include "sim.h"
#include "sim_math.h"

/* Touches of a deterministic pattern up to and including time t, counted from the cursor's start. */
uint64_t sim_seg_count(const struct sim_seg *s, int64_t t)
{
	return s->base + (uint64_t)((double)(t - s->t0) * s->rate + s->owed);
}

/* The time of touch number k: the first t with count(t) > k. */
int64_t sim_seg_time(const struct sim_seg *s, uint64_t k)
{
	double d = ((double)(k + 1 - s->base) - s->owed) / s->rate;
	int64_t t;

	if (d > 4e18)
		return SIM_NEVER;
	t = s->t0 + (int64_t)d;
	while (sim_seg_count(s, t) > k)
		t--;
	while (sim_seg_count(s, t) <= k)
		t++;
	return t;
}

/* Touches of one period that hit a page in [page, page + nr): [first, last). */
static void residues(const struct sim_seg *s, uint64_t page, uint64_t nr, uint64_t *first, uint64_t *last)
{
	*first = (page * 4096 + s->stride - 1) / s->stride;
	*last = ((page + nr) * 4096 + s->stride - 1) / s->stride;
	if (*last > s->period)
		*last = s->period;
}

/* The number of the first touch >= from that hits a page in [page, page + nr); 0: there is none. */
int sim_seg_next(const struct sim_seg *s, uint64_t page, uint64_t nr, uint64_t from, uint64_t *k)
{
	uint64_t first, last, pass = from / s->period, at = from % s->period;

	residues(s, page, nr, &first, &last);
	if (first >= last)
		return 0;
	if (at < last)
		*k = pass * s->period + (at > first ? at : first);
	else
		*k = (pass + 1) * s->period + first;
	return 1;
}

/* The number of the last touch < before that hits a page in [page, page + nr); 0: there is none. */
static int seg_prev(const struct sim_seg *s, uint64_t page, uint64_t nr, uint64_t before, uint64_t *k)
{
	uint64_t first, last, pass, at;

	residues(s, page, nr, &first, &last);
	if (first >= last || !before)
		return 0;
	pass = (before - 1) / s->period;
	at = (before - 1) % s->period;
	if (at >= first)
		*k = pass * s->period + (at < last - 1 ? at : last - 1);
	else if (pass)
		*k = (pass - 1) * s->period + last - 1;
	else
		return 0;
	return 1;
}

/* The share of the area's touches that hit one page (random patterns). */
double sim_seg_weight(const struct sim_seg *s, uint64_t index)
{
	if (s->pattern == PATTERN_RANDOM)
		return s->share;
	return sim_exp(-s->skew * sim_log((double)(index + 1))) * s->share;
}

static double zipf_term(double skew, double r)
{
	return sim_exp(-skew * sim_log(r));
}

/* The sum of r^-skew for r = first..last: term by term where it is steep, then by Euler and Maclaurin. */
static double zipf_sum(double skew, uint64_t first, uint64_t last)
{
	double total = 0.0, a, b, fa, fb, span, x, integral;

	for (; first < last && (first < 16 || last - first < 32); first++)
		total += zipf_term(skew, (double)first);
	a = (double)first;
	b = (double)last;
	fa = zipf_term(skew, a);
	if (first == last)
		return total + fa;
	fb = zipf_term(skew, b);
	span = sim_log(b / a);
	x = (1.0 - skew) * span;
	if (x > -1e-5 && x < 1e-5)
		integral = a * fa * span * (1.0 + x / 2.0 + x * x / 6.0);
	else if (x > 0)
		integral = b * fb * (1.0 - sim_exp(-x)) / (1.0 - skew);
	else
		integral = a * fa * (1.0 - sim_exp(x)) / (skew - 1.0);
	return total + integral + (fa + fb) / 2.0 + skew * (fa / a - fb / b) / 12.0;
}

/* The share of the area's touches that hit pages [page, page + nr). */
double sim_seg_weights(const struct sim_seg *s, uint64_t page, uint64_t nr)
{
	uint64_t first, last;

	if (s->pattern == PATTERN_NONE || !nr)
		return 0.0;
	if (s->pattern == PATTERN_RANDOM)
		return s->share * (double)nr;
	if (s->pattern == PATTERN_ZIPF)
		return zipf_sum(s->skew, page + 1, page + nr) * s->share;
	residues(s, page, nr, &first, &last);
	return first < last ? (double)(last - first) / (double)s->period : 0.0;
}

/* The logarithm of the probability that the touches in (lo, hi] are all reads. */
static double log_no_write(const struct sim_area *a, const struct sim_seg *s, uint64_t index, int64_t lo, int64_t hi)
{
	if (s->pattern == PATTERN_TRACE)
		return -sim_trace_writes(a, index, lo, hi);
	if (s->pattern == PATTERN_NONE || s->write <= 0.0)
		return 0.0;
	if (s->pattern == PATTERN_STRIDED) {
		uint64_t from = sim_seg_count(s, lo), to = sim_seg_count(s, hi), n = 0, k;

		while (n < 64 && sim_seg_next(s, index, 1, from, &k) && k < to) {
			from = k + 1;
			n++;
		}
		if (!n)
			return 0.0;
		return s->write >= 1.0 ? -1000.0 : (double)n * sim_log(1.0 - s->write);
	}
	return -s->write * sim_seg_weight(s, index) * s->rate * (double)(hi - lo);
}

/* The share of writes of a page's touches at t. */
static double seg_write(const struct sim_area *a, const struct sim_seg *s, uint64_t index, int64_t t)
{
	return s->pattern == PATTERN_TRACE ? sim_trace_write(a, index, t) : s->write;
}

double sim_seg_write(const struct sim_area *a, uint64_t index, int64_t t)
{
	return seg_write(a, sim_seg_now(a), index, t);
}

/* Was one of the touches in (from, to] a write? The last one happened at t in segment at. */
static int written(struct sim_machine *m, uint32_t area, uint64_t index, int64_t from, int64_t t, uint32_t at)
{
	const struct sim_area *a = &m->area[area];
	double logp = 0.0, last;
	int64_t hi = t;

	for (uint32_t n = at + 1; n-- > 0;) {
		const struct sim_seg *s = &a->seg[n];
		int64_t lo = from > s->t0 ? from : s->t0;

		if (lo < hi)
			logp += log_no_write(a, s, index, lo, hi);
		hi = s->t0;
		if (s->t0 <= from)
			break;
	}
	last = a->seg[at].pattern == PATTERN_STRIDED ? 1.0 : 1.0 - seg_write(a, &a->seg[at], index, t);
	return sim_uniform(m->seed, (uint64_t)area << SIM_PAGE_BITS | index, (uint64_t)from, DRAW_WRITE) >
	       sim_exp(logp) * last;
}

/*
 * The last touch of a folio's pages in (from, to], or -1. One exponential, spent backwards through the segments,
 * decides all the random ones: a Poisson process has no memory, so nothing but "when was the last touch" ever needs to
 * be known. Long: what is left of the exponential and of the time goes from segment to segment, whatever their
 * patterns.
 */
static int64_t last_touch(struct sim_machine *m, uint32_t area, uint64_t index, uint64_t nr, int64_t from, int64_t to,
			  uint32_t *at)
{
	const struct sim_area *a = &m->area[area];
	double left = -1.0;

	for (uint32_t n = a->nr_seg; n-- > 0;) {
		const struct sim_seg *s = &a->seg[n];
		int64_t lo = from > s->t0 ? from : s->t0;
		uint64_t k;

		*at = n;
		if (lo < to && s->pattern == PATTERN_STRIDED) {
			if (seg_prev(s, index, nr, sim_seg_count(s, to), &k) && k >= sim_seg_count(s, lo))
				return sim_seg_time(s, k);
		} else if (lo < to && s->pattern == PATTERN_TRACE) {
			int64_t t;

			if (left < 0.0)
				left = -sim_log(sim_uniform(m->seed, (uint64_t)area << SIM_PAGE_BITS | index,
							    (uint64_t)from, DRAW_TOUCH));
			t = sim_trace_last(a, index, nr, lo, to, &left);
			if (t >= 0)
				return t;
		} else if (lo < to && s->pattern != PATTERN_NONE) {
			double weight = nr == 1 ? sim_seg_weight(s, index) : sim_seg_weights(s, index, nr);
			double rate = weight * s->rate, mean = rate * (double)(to - lo);

			if (left < 0.0) {
				double u = sim_uniform(m->seed, (uint64_t)area << SIM_PAGE_BITS | index, (uint64_t)from,
						       DRAW_TOUCH);

				/* -log(u) >= 1 - u: the usual miss needs no logarithm */
				if (s->t0 <= from && mean < 1.0 - u)
					return -1;
				left = -sim_log(u);
			}
			if (left < mean) {
				int64_t t = to - (int64_t)(left / rate);

				return t > lo ? t : lo + 1;
			}
			left -= mean;
		}
		if (s->t0 <= from)
			break;
		to = s->t0;
	}
	return -1;
}

/* Bring the page's history up to now. */
void sim_page_advance(struct sim_machine *m, uint32_t area, uint64_t index, struct sim_page *p, int64_t now)
{
	int64_t t;
	uint32_t at;

	if (p->t_eval >= now)
		return;
	t = last_touch(m, area, index, p->flags & PG_HUGE ? SIM_BLOCK : 1, p->t_eval, now, &at);
	if (t >= 0) {
		p->t_last = t;
		if (m->area[area].kind == KIND_FILE && !(p->flags & PG_DIRTY) &&
		    written(m, area, index, p->t_eval, t, at))
			p->flags |= PG_DIRTY;
	}
	p->t_eval = now;
}
