// SPDX-License-Identifier: GPL-2.0-only
/*
 * What standin.h promises: threads that pass a baton, sleeping, memory. One thread runs at a time, so plain
 * variables do where the kernel needs atomic ones. Faults are in fault.c.
 */
#include "standin.h"

void *malloc(size_t);
void *calloc(size_t, size_t);
void free(void *);
void qsort(void *, size_t, size_t, int (*)(const void *, const void *));
int vsnprintf(char *, size_t, const char *, va_list);
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
