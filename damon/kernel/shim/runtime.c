// SPDX-License-Identifier: GPL-2.0-only
/*
 * What standin.h promises: threads that pass a baton, sleeping, memory, parameters. One thread runs at a time, so plain
 * variables do where the kernel needs atomic ones. Faults are in fault.c.
 */
#include "standin.h"

void *malloc(size_t);
void *calloc(size_t, size_t);
void free(void *);
void qsort(void *, size_t, size_t, int (*)(const void *, const void *));
int vsnprintf(char *, size_t, const char *, va_list);
unsigned long long strtoull(const char *, char **, int);
int *__errno_location(void);
__attribute__((noreturn)) void shim_bug(const char *text);

struct shim_callbacks shim;
int psi_disabled;
static struct task_struct outside = { .comm = "main" };
__thread struct task_struct *shim_current;
/* Allocations that have not been freed, for a check of leaks. */
long shim_allocated;
/* Rises with each allocation but those of regions: what was read of a context before may be another one now. */
__attribute__((visibility("default"))) shim_u64 shim_generation;

/* Every thread that calls in has a current. */
static struct task_struct *me(void)
{
	return shim_current ?: &outside;
}

/* -- reports */

void shim_report(enum shim_report kind, const char *file, int line, const char *function, const char *format, ...)
{
	char text[512], all[768];
	va_list args;
	size_t end;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	for (end = strlen(text); end && text[end - 1] == '\n'; end--)
		text[end - 1] = 0;
	if (kind == SHIM_WARN) {
		shim.warn(file, line, function, text);
		return;
	}
	snprintf(all, sizeof(all), "BUG at %s:%d, %s()%s%s", file, line, function, *text ? ": " : "", text);
	shim_bug(all);
}

void shim_printk(const char *level, const char *format, ...)
{
	char text[1024];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	shim.log(level, text);
}

void shim_trace(const char *event, const char *format, ...)
{
	char text[1024];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	shim.trace(event, text);
}

const char *shim_hex(const unsigned char *bytes, unsigned int nr)
{
	static __thread char text[3 * 64 + 1];
	unsigned int at = 0;

	text[0] = 0;
	for (unsigned int i = 0; i < nr && i < 64; i++)
		at += (unsigned int)snprintf(text + at, sizeof(text) - at, "%s%02x", i ? " " : "", bytes[i]);
	return text;
}

/* -- memory */

void *shim_alloc(size_t size)
{
	void *p = calloc(1, size);

	shim_generation++;
	shim_allocated += p != NULL;
	return p;
}

void shim_free(void *p)
{
	shim_allocated -= p != NULL;
	free(p);
}

struct kmem_cache *shim_cache(size_t size)
{
	struct kmem_cache *cache = malloc(sizeof(*cache));

	if (cache)
		cache->size = size;
	return cache;
}

/* So many allocations of regions fail from now on. */
unsigned int shim_fail_regions;

void *shim_cache_alloc(struct kmem_cache *cache)
{
	if (shim_fail_regions) {
		shim_fail_regions--;
		return NULL;
	}
	shim_generation--;
	return shim_alloc(cache->size);
}

void *kmemdup_noprof(const void *src, size_t size, gfp_t flags)
{
	void *p = kmalloc(size, flags);

	return p ? memcpy(p, src, size) : NULL;
}

/* The order of equal elements is the merge sort's of the C library: stable, which the kernel's heap sort is not. */
void sort(void *base, size_t num, size_t size, int (*cmp)(const void *, const void *), void (*swp)(void *, void *, int))
{
	(void)swp;
	qsort(base, num, size, cmp);
}

/* -- threads */

/* Threads that wait for something. */
static unsigned int waiting;

static void wait(void *key)
{
	waiting++;
	shim.wait(key);
	waiting--;
}

static void wake(void *key)
{
	if (waiting)
		shim.wake(key);
}

void shim_lock(void **owner)
{
	if (*owner == me())
		shim_bug("deadlock: a mutex is locked by the thread that locks it");
	while (*owner)
		wait(owner);
	*owner = me();
}

int shim_trylock(void **owner)
{
	if (*owner)
		return 0;
	*owner = me();
	return 1;
}

void shim_unlock(void **owner)
{
	if (!*owner)
		shim_bug("a mutex is unlocked that is not locked");
	*owner = NULL;
	wake(owner);
}

void shim_complete(unsigned int *done)
{
	++*done;
	wake(done);
}

void shim_wait_for(unsigned int *done)
{
	while (!*done)
		wait(done);
	--*done;
}

struct task_struct *shim_kthread_run(int (*fn)(void *), void *data, const char *comm)
{
	static int pids;
	struct task_struct *task = calloc(1, sizeof(*task));
	int err;

	if (!task)
		return ERR_PTR(-ENOMEM);
	task->fn = fn;
	task->data = data;
	task->pid = ++pids;
	snprintf(task->comm, sizeof(task->comm), "%s", comm);
	err = shim.spawn(task);
	if (err) {
		free(task);
		return ERR_PTR(err);
	}
	return task;
}

int shim_kthread_stop(struct task_struct *task)
{
	task->should_stop = true;
	shim.join(task);
	return 0;
}

/* In the new thread. The task stays: somebody may still ask for its number. */
int shim_run_kthread(struct task_struct *task)
{
	int result;

	shim_current = task;
	result = task->fn(task->data);
	shim_current = NULL;
	return result;
}

void shim_usleep(unsigned long us)
{
	if (!shim_quiet_sleep(us, 0))
		shim.sleep(me(), us, 0);
}

long shim_schedule_timeout(long ticks)
{
	if (ticks > 0 && !shim_quiet_sleep(0, (shim_u64)ticks))
		shim.sleep(me(), 0, (shim_u64)ticks);
	return 0;
}

/* -- time */

unsigned long msecs_to_jiffies(const unsigned int m)
{
	if ((int)m < 0)
		return (unsigned long)MAX_JIFFY_OFFSET;
	return (unsigned long)(((u64)m * (u64)HZ + MSEC_PER_SEC - 1) / MSEC_PER_SEC);
}

unsigned long usecs_to_jiffies(const unsigned int u)
{
	return (unsigned long)(((u64)u * (u64)HZ + USEC_PER_SEC - 1) / USEC_PER_SEC);
}

unsigned int jiffies_to_msecs(const unsigned long j)
{
	return (unsigned int)(j * MSEC_PER_SEC / (unsigned long)HZ);
}

unsigned int jiffies_to_usecs(const unsigned long j)
{
	return (unsigned int)(j * USEC_PER_SEC / (unsigned long)HZ);
}

/* -- random numbers: SplitMix64, as damon/native/src/damon.h has it */

shim_u64 shim_random(shim_u64 *state)
{
	static shim_u64 own;
	shim_u64 v;

	if (!state)
		state = me()->rnd ?: &own;
	v = *state += 0x9E3779B97F4A7C15ull;
	v = (v ^ (v >> 30)) * 0xBF58476D1CE4E5B9ull;
	v = (v ^ (v >> 27)) * 0x94D049BB133111EBull;
	return v ^ (v >> 31);
}

unsigned long shim_rand(unsigned long l, unsigned long r)
{
	return l + (unsigned long)(((unsigned __int128)shim_random(NULL) * (r - l)) >> 64);
}

/* -- memory of the machine */

shim_u64 shim_query(int what, shim_u64 a, shim_u64 b)
{
	if (shim_is_quiet() && what == SHIM_FREE_PAGES)
		return shim_quiet_free_pages();
	if (shim_is_quiet() && what == SHIM_TOTAL_PAGES)
		return shim.total_pages;
	return shim.query(what, a, b);
}

struct mem_cgroup *shim_memcg(shim_u64 id)
{
	static __thread struct mem_cgroup found;

	if (shim_query(SHIM_MEMCG_PAGES, id, 0) == ~0ull)
		return NULL;
	found.id = id;
	return &found;
}

void *shim_psi(void)
{
	static __thread struct psi_group group;

	group.total[PSI_AVGS][PSI_MEM_SOME] = shim_query(SHIM_PSI_NS, 0, 0);
	return &group;
}

#define FOLIO_ROWS 512

struct folio *damon_get_folio(unsigned long pfn);

/* The folio of that page frame. They are asked for in batches, which hold until time passes. */
struct folio *damon_get_folio(unsigned long pfn)
{
	static shim_u64 rows[FOLIO_ROWS][3], at_ns = ~0ull, from = 1, to;
	static unsigned int nr, next;
	static struct folio found;

	if (at_ns != shim.now_ns || pfn < from || pfn >= to) {
		nr = shim.folios(pfn, rows[0], FOLIO_ROWS);
		next = 0;
		at_ns = shim.now_ns;
		from = pfn;
		to = nr == FOLIO_ROWS ? rows[nr - 1][0] + rows[nr - 1][1] : ~0ull;
	}
	while (next && rows[next - 1][0] + rows[next - 1][1] > pfn)
		next--;
	while (next < nr && rows[next][0] + rows[next][1] <= pfn)
		next++;
	if (next == nr || rows[next][0] > pfn)
		return NULL;
	found = (struct folio){ rows[next][0], rows[next][1], (int)rows[next][2] };
	return &found;
}

/* -- parameters, parsed as lib/kstrtox.c and kernel/params.c do */

static int parse(const char *s, unsigned int base, u64 *out, bool *negative)
{
	char *end;

	*negative = *s == '-';
	s += *s == '-' || *s == '+';
	if (!*s || strchr(" \t\n\v\f\r-+", *s))
		return -EINVAL;
	*__errno_location() = 0;
	*out = strtoull(s, &end, (int)base);
	if (end == s || (*end && !(*end == '\n' && !end[1])))
		return -EINVAL;
	return *__errno_location() == ERANGE ? -ERANGE : 0;
}

static int parse_unsigned(const char *s, unsigned int base, u64 max, u64 *out)
{
	bool negative;
	int err = *s == '-' ? -EINVAL : parse(s, base, out, &negative);

	return err ?: *out > max ? -ERANGE : 0;
}

static int parse_signed(const char *s, unsigned int base, u64 max, s64 *out)
{
	bool negative;
	u64 value;
	int err = parse(s, base, &value, &negative);

	if (err)
		return err;
	if (value > max + negative)
		return -ERANGE;
	*out = negative ? -(s64)value : (s64)value;
	return 0;
}

int kstrtoul(const char *s, unsigned int base, unsigned long *out)
{
	u64 value;
	int err = parse_unsigned(s, base, ULONG_MAX, &value);

	if (!err)
		*out = (unsigned long)value;
	return err;
}

int kstrtouint(const char *s, unsigned int base, unsigned int *out)
{
	u64 value;
	int err = parse_unsigned(s, base, UINT_MAX, &value);

	if (!err)
		*out = (unsigned int)value;
	return err;
}

int kstrtol(const char *s, unsigned int base, long *out)
{
	s64 value;
	int err = parse_signed(s, base, LONG_MAX, &value);

	if (!err)
		*out = (long)value;
	return err;
}

int kstrtoint(const char *s, unsigned int base, int *out)
{
	s64 value;
	int err = parse_signed(s, base, INT_MAX, &value);

	if (!err)
		*out = (int)value;
	return err;
}

int kstrtobool(const char *s, bool *out)
{
	if (!s)
		return -EINVAL;
	if (strchr("eEyYtT1", *s) && *s)
		*out = true;
	else if (strchr("dDnNfF0", *s) && *s)
		*out = false;
	else if ((*s == 'o' || *s == 'O') && (s[1] == 'n' || s[1] == 'N'))
		*out = true;
	else if ((*s == 'o' || *s == 'O') && (s[1] == 'f' || s[1] == 'F'))
		*out = false;
	else
		return -EINVAL;
	return 0;
}

int param_set_bool(const char *val, const struct kernel_param *kp)
{
	return kstrtobool(val ?: "1", kp->arg);
}

int param_get_bool(char *buffer, const struct kernel_param *kp)
{
	return sprintf(buffer, "%c\n", *(bool *)kp->arg ? 'Y' : 'N');
}

#define STANDARD_PARAM(name, type, format, strto) \
	int param_set_##name(const char *val, const struct kernel_param *kp) \
	{ return strto(val, 0, (type *)kp->arg); } \
	int param_get_##name(char *buffer, const struct kernel_param *kp) \
	{ return sprintf(buffer, format "\n", *(type *)kp->arg); } \
	const struct kernel_param_ops param_ops_##name = { .set = param_set_##name, .get = param_get_##name }
#define SMALL_PARAM(name, type, max) \
	static int set_##name(const char *val, const struct kernel_param *kp) \
	{ u64 v; int err = parse_unsigned(val, 0, max, &v); if (!err) *(type *)kp->arg = (type)v; return err; } \
	static int get_##name(char *buffer, const struct kernel_param *kp) \
	{ return sprintf(buffer, "%d\n", *(type *)kp->arg); } \
	const struct kernel_param_ops param_ops_##name = { .set = set_##name, .get = get_##name }
STANDARD_PARAM(ulong, unsigned long, "%lu", kstrtoul);
STANDARD_PARAM(long, long, "%li", kstrtol);
STANDARD_PARAM(uint, unsigned int, "%u", kstrtouint);
STANDARD_PARAM(int, int, "%i", kstrtoint);
SMALL_PARAM(ushort, unsigned short, 65535);
SMALL_PARAM(short, short, 32767);
SMALL_PARAM(byte, unsigned char, 255);
const struct kernel_param_ops param_ops_bool = { .flags = KERNEL_PARAM_OPS_FL_NOARG,
						 .set = param_set_bool,
						 .get = param_get_bool };

static int get_charp(char *buffer, const struct kernel_param *kp)
{
	return snprintf(buffer, 4096, "%s\n", *(char **)kp->arg ?: "(null)");
}

static int set_charp(const char *val, const struct kernel_param *kp)
{
	char *copy = calloc(1, strlen(val) + 1);

	if (!copy)
		return -ENOMEM;
	*(char **)kp->arg = memcpy(copy, val, strlen(val));
	return 0;
}

const struct kernel_param_ops param_ops_charp = { .set = set_charp, .get = get_charp };

static int get_array(char *buffer, const struct kernel_param *kp)
{
	const struct kparam_array *arr = kp->arr;
	int at = 0;

	for (unsigned int i = 0; i < (arr->num ? *arr->num : arr->max); i++) {
		struct kernel_param one = *kp;
		int got;

		if (i)
			buffer[at - 1] = ','; /* in place of the newline */
		one.arg = (char *)arr->elem + arr->elemsize * i;
		got = arr->ops->get(buffer + at, &one);
		if (got < 0)
			return got;
		at += got;
	}
	return at;
}

static int set_array(const char *val, const struct kernel_param *kp)
{
	(void)val, (void)kp;
	return -EPERM;
}

const struct kernel_param_ops param_array_ops = { .set = set_array, .get = get_array };
