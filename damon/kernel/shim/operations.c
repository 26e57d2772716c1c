// SPDX-License-Identifier: GPL-2.0-only
/* Operations sets that ask the machine through the callbacks of shim.h. */
#include "standin.h"
#include <linux/damon.h>

#define EXPORT __attribute__((visibility("default")))

#include "ops.h"

struct scratch {
	u64 *addrs;
	u8 *answers;
	unsigned int room;
};
static __thread struct scratch scratch;
/* Of the last preparation of this worker, for its check. */
static __thread bool made_old_in_c;

static bool reserve(unsigned int nr)
{
	if (nr <= scratch.room)
		return true;
	shim_free(scratch.addrs);
	shim_free(scratch.answers);
	scratch.room = 0;
	scratch.addrs = shim_alloc(2ul * nr * sizeof(*scratch.addrs));
	scratch.answers = shim_alloc(2ul * nr * 4);
	if (!scratch.addrs || !scratch.answers)
		return false;
	scratch.room = 2 * nr;
	return true;
}

static u64 unit_of(int id, struct damon_ctx *ctx)
{
#ifdef HAVE_damon_ctx_addr_unit
	if (id == DAMON_OPS_PADDR)
		return ctx->addr_unit;
#endif
	(void)id, (void)ctx;
	return 1;
}

static unsigned int sampled(int id, struct damon_ctx *ctx, struct damon_target *t, bool pick)
{
	u64 unit = unit_of(id, ctx);
	struct damon_region *r;
	unsigned int i = 0;

	if (!reserve(damon_nr_regions(t)))
		return 0;
	damon_for_each_region(r, t) {
		if (pick)
			r->sampling_addr = shim_rand(r->ar.start, r->ar.end);
		scratch.addrs[i++] = r->sampling_addr * unit;
	}
	return i;
}

/* What Python said of a target, for as long as nothing can have changed it. */
struct known {
	void *target;
	u64 window, generation;
	void *access;
	int valid, has_access;
};
extern u64 shim_generation;

static struct known *known(void *target)
{
	static struct known all[256];
	struct known *k = &all[((unsigned long)target >> 5) & 255];

	if (k->target != target || k->window != shim.window || k->generation != shim_generation)
		*k = (struct known){ target, shim.window, shim_generation, NULL, -1, 0 };
	return k;
}

/* NULL: ask Python call by call. */
static void *access_of(int id, struct damon_ctx *ctx, struct damon_target *t)
{
	struct known *k;

	if (!shim_is_quiet())
		return NULL;
	k = known(t);
	if (!k->has_access) {
		k->access = shim.ops_access(id, ctx, t);
		k->has_access = 1;
	}
	return k->access;
}

static bool valid(int id, struct damon_target *t)
{
	struct known *k;

	if (!shim_is_quiet())
		return shim.ops_valid(id, t);
	k = known(t);
	if (k->valid < 0)
		k->valid = shim.ops_valid(id, t);
	return k->valid;
}

static void prepare(int id, struct damon_ctx *ctx)
{
	struct damon_target *t;

	damon_for_each_target(t, ctx) {
		unsigned int nr = sampled(id, ctx, t, true);
		void *access = access_of(id, ctx, t);

		if (access)
			shim_quiet_mkold(access, scratch.addrs, nr);
		else
			shim.ops_mkold(id, ctx, t, scratch.addrs, nr);
		made_old_in_c = access != NULL;
	}
}

static void count(struct damon_ctx *ctx, struct damon_region *r, bool accessed)
{
#if NARGS_damon_update_region_access_rate == 3
	damon_update_region_access_rate(r, accessed, &ctx->attrs);
#else
	(void)ctx;
	damon_update_region_access_rate(r, accessed);
#endif
}

static unsigned int check(int id, struct damon_ctx *ctx)
{
	struct damon_target *t;
	struct damon_region *r;
	unsigned int highest = 0;

	damon_for_each_target(t, ctx) {
		unsigned int i = 0, nr = sampled(id, ctx, t, false);
		void *access = access_of(id, ctx, t);

		if (access)
			shim_quiet_young(access, scratch.addrs, nr, scratch.answers);
		else
			shim.ops_young(id, ctx, t, scratch.addrs, made_old_in_c, scratch.answers, nr);
		damon_for_each_region(r, t) {
			count(ctx, r, scratch.answers[i++]);
			highest = max(highest, r->nr_accesses);
		}
	}
	return highest;
}

#ifdef HAVE_damon_ctx_probes
static unsigned int probe(int id, struct damon_ctx *ctx, bool pick, bool want_max)
{
	struct damon_target *t;
	struct damon_region *r;
	unsigned int highest = 0;

	if (list_empty(&ctx->probes) && !pick)
		return 0;
	damon_for_each_target(t, ctx) {
		/* Picks without probes too: they were there a moment ago. */
		unsigned int i = 0, nr = sampled(id, ctx, t, pick);

		if (list_empty(&ctx->probes))
			continue;
		shim.ops_probe(id, ctx, t, scratch.addrs, nr, scratch.answers);
		damon_for_each_region(r, t) {
			for (int p = 0; p < DAMON_MAX_PROBES; p++)
				r->probe_hits[p] += scratch.answers[4 * i + p];
			i++;
#ifdef NARGS_damon_probe_hits_wsum
			if (want_max)
				highest = max(highest, damon_probe_hits_wsum(r, false, ctx));
#endif
		}
	}
	(void)want_max;
	return highest;
}
#endif

static unsigned long apply(int id, struct damon_ctx *ctx, struct damon_target *t, struct damon_region *r,
			   struct damos *s, unsigned long *passed)
{
	shim_u64 bytes = 0;
	unsigned long applied = (unsigned long)shim.ops_apply(id, ctx, t, r, s, &bytes);

	if (passed)
		*passed = (unsigned long)bytes;
	return applied;
}

#if NARGS_OPS_apply_scheme == 5
#define APPLY_TAIL , unsigned long *passed
#define APPLY_ARG passed
#else
#define APPLY_TAIL
#define APPLY_ARG NULL
#endif
#if NARGS_OPS_get_scheme_score == 3
#define SCORE_ARGS struct damon_ctx *c, struct damon_region *r, struct damos *s
#define SCORE_PASS c, r, s
#else
#define SCORE_ARGS struct damon_ctx *c, struct damon_target *t, struct damon_region *r, struct damos *s
#define SCORE_PASS c, t, r, s
#endif

#define SET(name, id_, score_) \
	static void name##_init(struct damon_ctx *c) { shim.ops_init(id_, c); } \
	static void name##_update(struct damon_ctx *c) { shim.ops_update(id_, c); } \
	static void name##_prepare(struct damon_ctx *c) { prepare(id_, c); } \
	static unsigned int name##_check(struct damon_ctx *c) { return check(id_, c); } \
	static unsigned long name##_apply(struct damon_ctx *c, struct damon_target *t, struct damon_region *r, \
					  struct damos *s APPLY_TAIL) { return apply(id_, c, t, r, s, APPLY_ARG); } \
	static int name##_score(SCORE_ARGS) { return score_(SCORE_PASS); } \
	static bool name##_valid(struct damon_target *t) { return valid(id_, t); } \
	static struct damon_operations name##_set = { \
		.id = id_, .init = name##_init, .update = name##_update, .prepare_access_checks = name##_prepare, \
		.check_accesses = name##_check, .apply_scheme = name##_apply, .get_scheme_score = name##_score, \
		.target_valid = name##_valid }
SET(vaddr, DAMON_OPS_VADDR, damon_va_scheme_score);
SET(fvaddr, DAMON_OPS_FVADDR, damon_va_scheme_score);
SET(paddr, DAMON_OPS_PADDR, damon_pa_scheme_score);

#ifdef HAVE_damon_operations_cleanup_target
static void vaddr_cleanup(struct damon_target *t)
{
	put_pid(t->pid);
}
#endif
#ifdef HAVE_damon_ctx_probes
#if NARGS_OPS_apply_probes == 3
static unsigned int paddr_probes(struct damon_ctx *c, bool set_samples, bool return_max_wsum)
{
	return probe(DAMON_OPS_PADDR, c, set_samples, return_max_wsum);
}
#else
static void paddr_probes(struct damon_ctx *c)
{
	probe(DAMON_OPS_PADDR, c, false, false);
}
#endif
#endif

EXPORT int shim_register_ops(void)
{
	int err;

	paddr_set.init = paddr_set.update = NULL;
	paddr_set.target_valid = NULL;
	fvaddr_set.init = fvaddr_set.update = NULL;
#ifdef HAVE_damon_operations_cleanup_target
	vaddr_set.cleanup_target = fvaddr_set.cleanup_target = vaddr_cleanup;
#endif
#ifdef HAVE_damon_ctx_probes
	paddr_set.apply_probes = paddr_probes;
#endif
	err = damon_register_ops(&vaddr_set);
	err = err ?: damon_register_ops(&fvaddr_set);
	return err ?: damon_register_ops(&paddr_set);
}

EXPORT int shim_call_kthread(struct task_struct *task)
{
	extern int shim_run_kthread(struct task_struct *);
	int result = shim_run_kthread(task);

	shim_free(scratch.addrs);
	shim_free(scratch.answers);
	scratch = (struct scratch){};
	return result;
}
