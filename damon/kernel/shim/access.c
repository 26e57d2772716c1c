// SPDX-License-Identifier: GPL-2.0-only
/*
 * Compiled against the tree's own damon.h: where each field is, regions as rows, and operations sets that ask the
 * machine through the callbacks of shim.h. features.h is made from the header (damon/kernel/header.py).
 */
#include "standin.h"
#include <linux/damon.h>

#define EXPORT __attribute__((visibility("default")))

/* -- where things are */

struct shim_field {
	const char *record, *name;
	unsigned long offset, size;
	int kind;
};
struct shim_constant {
	const char *name;
	long value;
};

#define KIND(x) _Generic((x), \
	bool: 'b', char: 'i', signed char: 'i', unsigned char: 'u', short: 'i', unsigned short: 'u', int: 'i', \
	unsigned int: 'u', long: 'i', unsigned long: 'u', long long: 'i', unsigned long long: 'u', default: 'o')
#define FIELD(r, f) { #r, #f, offsetof(struct r, f), sizeof(((struct r *)0)->f), KIND(((struct r *)0)->f) },
#define RECORD(r) { #r, "", 0, sizeof(struct r), 'r' },
#define CONSTANT(c) { #c, (long)(c) },

EXPORT const struct shim_field shim_fields[] = {
#include "fields.h"
	{ NULL }
};
EXPORT const struct shim_constant shim_constants[] = {
#include "constants.h"
	{ NULL }
};

/* -- regions as rows of struct damon_region of damon/native/src/damon.h */

struct row {
	u64 start, end, sampling_addr;
	u32 nr_accesses, last_nr_accesses, age;
	u8 probe_hits[4], last_probe_hits[4];
	u32 reserved;
};

static void to_row(const struct damon_region *r, struct row *row)
{
	*row = (struct row){ .start = r->ar.start,
			     .end = r->ar.end,
			     .sampling_addr = r->sampling_addr,
			     .nr_accesses = r->nr_accesses,
			     .age = r->age };
#ifdef HAVE_damon_region_last_nr_accesses
	row->last_nr_accesses = r->last_nr_accesses;
#endif
#ifdef HAVE_damon_region_probe_hits
	memcpy(row->probe_hits, r->probe_hits, min(sizeof(r->probe_hits), sizeof(row->probe_hits)));
#endif
#ifdef HAVE_damon_region_last_probe_hits
	memcpy(row->last_probe_hits, r->last_probe_hits, min(sizeof(r->last_probe_hits), sizeof(row->last_probe_hits)));
#endif
}

/* At most nr of them; how many there are. */
EXPORT unsigned int shim_regions(struct damon_target *t, struct row *rows, unsigned int nr)
{
	struct damon_region *r;
	unsigned int i = 0;

	damon_for_each_region(r, t) {
		if (i < nr)
			to_row(r, &rows[i]);
		i++;
	}
	return i;
}

EXPORT void shim_region(const struct damon_region *r, struct row *row)
{
	to_row(r, row);
}

EXPORT int shim_set_regions(struct damon_target *t, struct damon_addr_range *ranges, unsigned int nr,
			    unsigned long min_sz)
{
#if NARGS_damon_set_regions == 4
	return damon_set_regions(t, ranges, nr, min_sz);
#else
	(void)min_sz;
	return damon_set_regions(t, ranges, nr);
#endif
}

/* A region behind the others, as a user of the kernel's interface adds them. */
EXPORT int shim_add_region(struct damon_target *t, unsigned long start, unsigned long end)
{
	struct damon_region *r = damon_new_region(start, end);

	if (!r)
		return -ENOMEM;
	list_add_tail(&r->list, &t->regions_list);
	t->nr_regions++;
	return 0;
}

EXPORT struct damos_filter *shim_new_filter(int type, bool matching, bool allow)
{
#if NARGS_damos_new_filter == 3
	return damos_new_filter((enum damos_filter_type)type, matching, allow);
#else
	(void)allow;
	return damos_new_filter((enum damos_filter_type)type, matching);
#endif
}

EXPORT struct pid *shim_new_pid(u64 space)
{
	struct pid *pid = shim_alloc(sizeof(*pid));

	if (pid) {
		pid->refs = 1;
		pid->space = space;
	}
	return pid;
}

EXPORT void shim_put_pid(struct damon_target *t)
{
	put_pid(t->pid);
	t->pid = NULL;
}

struct pid *shim_find_pid(int nr)
{
	u64 space = shim.process(nr);

	return space ? shim_new_pid(space) : NULL;
}

/* -- requests */

EXPORT void shim_free_control(void *control)
{
	kfree(control);
}

#ifdef NARGS_damon_call
static int call_fn(void *data)
{
	return shim.call(data);
}

/* Run the request with that number; control is the caller's, for as long as a repeating one is installed. */
EXPORT int shim_call(struct damon_ctx *ctx, void *data, bool repeat, struct damon_call_control **out)
{
	struct damon_call_control *control = kzalloc(sizeof(*control), GFP_KERNEL);
	int err;

	if (!control)
		return -ENOMEM;
	control->fn = call_fn;
	control->data = data;
	control->repeat = repeat;
	err = damon_call(ctx, control);
	if (!err && !repeat)
		err = control->return_code;
	if (repeat && !err)
		*out = control;
	else
		kfree(control);
	return err;
}
#endif

#ifdef NARGS_damos_walk
static void walk_fn(void *data, struct damon_ctx *ctx, struct damon_target *t, struct damon_region *r, struct damos *s,
		    unsigned long sz_filter_passed)
{
	shim.walk(data, ctx, t, r, s, sz_filter_passed);
}

EXPORT int shim_walk(struct damon_ctx *ctx, void *data)
{
	struct damos_walk_control control = { .walk_fn = walk_fn, .data = data };

	return damos_walk(ctx, &control);
}
#endif

#ifdef HAVE_damon_ctx_callback
/* Before damon_call(): the request's place is the callback after each sampling, or while watermarks wait. */
static int after_sampling(struct damon_ctx *ctx)
{
	return shim.call(ctx);
}

EXPORT void shim_install_callbacks(struct damon_ctx *ctx)
{
	ctx->callback.after_sampling = after_sampling;
	ctx->callback.after_wmarks_check = after_sampling;
}
#endif

/* -- operations sets */

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

/* -- modules and events */

extern struct kernel_param __start_damon_params[], __stop_damon_params[];
extern struct shim_description __start_damon_descriptions[] __attribute__((weak)),
	__stop_damon_descriptions[] __attribute__((weak));
extern struct shim_initcall __start_damon_initcalls[], __stop_damon_initcalls[];
struct shim_event {
	const char *name;
	int enabled;
};
extern struct shim_event __start_damon_events[], __stop_damon_events[];

EXPORT struct kernel_param *shim_param(unsigned int index)
{
	return &__start_damon_params[index] < __stop_damon_params ? &__start_damon_params[index] : NULL;
}

/* Name, type ("" with functions of its own), file, permissions. */
EXPORT void shim_param_of(struct kernel_param *p, const char **name, const char **type, const char **file,
			  unsigned int *perm)
{
	*name = p->name;
	*type = p->type;
	*file = p->file;
	*perm = p->perm;
}

EXPORT int shim_param_set(struct kernel_param *p, const char *value)
{
	return p->ops->set ? p->ops->set(value, p) : -EPERM;
}

/* Room for 4096 bytes; the length of the text, or a negative errno. */
EXPORT int shim_param_get(struct kernel_param *p, char *buffer)
{
	return p->ops->get ? p->ops->get(buffer, p) : -EPERM;
}

EXPORT const char *shim_param_text(const char *name)
{
	for (struct shim_description *d = __start_damon_descriptions; d < __stop_damon_descriptions; d++)
		if (!strcmp(d->name, name))
			return d->text;
	return NULL;
}

/* The initialization calls whose parameters begin with prefix ("damon_reclaim."), up to a level, in order. */
EXPORT int shim_init(const char *prefix, int least, int most)
{
	for (int level = least; level <= most; level++) {
		for (struct shim_initcall *call = __start_damon_initcalls; call < __stop_damon_initcalls; call++) {
			int err = call->level != level || strcmp(call->prefix, prefix) ? 0 : call->fn();

			if (err)
				return err;
		}
	}
	return 0;
}

EXPORT const char *shim_event_name(unsigned int index)
{
	return &__start_damon_events[index] < __stop_damon_events ? __start_damon_events[index].name : NULL;
}

EXPORT void shim_event_enable(unsigned int index, int on)
{
	__start_damon_events[index].enabled = on;
}

EXPORT struct shim_callbacks *shim_get_callbacks(void)
{
	return &shim;
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

EXPORT void shim_task(struct task_struct *task, int *pid, void **data, const char **comm)
{
	*pid = task->pid;
	*data = task->data;
	*comm = task->comm;
}

EXPORT void shim_set_random(struct task_struct *task, u64 *state)
{
	task->rnd = state;
}

EXPORT void shim_stop_task(struct task_struct *task)
{
	task->should_stop = true;
}

EXPORT long shim_leaks(void)
{
	extern long shim_allocated;

	return shim_allocated;
}
