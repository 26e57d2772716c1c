// SPDX-License-Identifier: GPL-2.0-only
/*
 * Compiled against the tree's own damon.h: where each field is, regions as rows, requests, events. features.h is made
 * from the header (damon/kernel/header.py).
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

/* -- events and threads */

struct shim_event {
	const char *name;
	int enabled;
};
extern struct shim_event __start_damon_events[], __stop_damon_events[];

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
