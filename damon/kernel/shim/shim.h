/* SPDX-License-Identifier: GPL-2.0-only */
/* The seam between the kernel's code and the machine that it runs on. Plain C types only: both sides include it. */
#ifndef PYDAMON_SHIM_H
#define PYDAMON_SHIM_H

#include <stddef.h>

struct task_struct;
struct kmem_cache;
struct mem_cgroup;

typedef unsigned long long shim_u64;

/* What Python provides. A negative result is an errno, unless it says otherwise. */
struct shim_callbacks {
	/* Time, set anew by each call that lets it pass: ns since boot, the same at the last tick, ticks. */
	shim_u64 now_ns, coarse_ns, jiffies;
	/* Ticks a second, and from how many microseconds on a sleep ends at one (USLEEP_RANGE_UPPER_BOUND). */
	shim_u64 hz, upper_us;
	/* The length of a tick, the number of the one at time 0; exact: sleeps and clocks know no tick. */
	shim_u64 tick_ns, first_tick, exact;
	/* Of the machine, while a stretch of time is open. */
	shim_u64 total_pages;
	/* Rises when Python may have changed what it said of spaces and targets. */
	shim_u64 window;
	/* Sleep: us microseconds exactly (ticks 0), or that many ticks, which a stop of the thread ends. */
	void (*sleep)(struct task_struct *task, shim_u64 us, shim_u64 ticks);
	/* Wait until somebody calls wake(key). */
	void (*wait)(void *key);
	void (*wake)(void *key);
	/* Start a thread that calls shim_run_kthread(task). 0 or a negative errno. */
	int (*spawn)(struct task_struct *task);
	/* End a sleep of ticks early, and wait for the end of the thread. */
	void (*join)(struct task_struct *task);
	shim_u64 (*seed)(void);
	/* The number of the space of a process; 0 when there is no such process. */
	shim_u64 (*process)(int pid);
	/* A struct pid of that number has been freed. */
	void (*put_process)(shim_u64 space);
	shim_u64 (*query)(int what, shim_u64 a, shim_u64 b);
	int (*ram)(unsigned int index, shim_u64 *start, shim_u64 *end);
	/* The first folios from pfn on, at most nr: rows of pfn, pages, node. How many; 0 where memory ends. */
	unsigned int (*folios)(shim_u64 pfn, shim_u64 *rows, unsigned int nr);
	void (*log)(const char *level, const char *text);
	/* WARN(): go on. BUG() and faults do not return here; see runtime.c. */
	void (*warn)(const char *file, int line, const char *function, const char *text);
	void (*trace)(const char *event, const char *text);
	/* Operations sets. id: DAMON_OPS_*. addrs and answers: one for each region of the target, in order. */
	void (*ops_init)(int id, void *ctx);
	void (*ops_update)(int id, void *ctx);
	void (*ops_mkold)(int id, void *ctx, void *target, const shim_u64 *addrs, unsigned int nr);
	/* native: they were made old in C. */
	void (*ops_young)(int id, void *ctx, void *target, const shim_u64 *addrs, int native, unsigned char *answers,
			  unsigned int nr);
	/* The target's space for C (struct damon_access of damon/native/src/sample.h); NULL: Python has to be asked. */
	void *(*ops_access)(int id, void *ctx, void *target);
	/* hits: nr rows of a byte for each of the context's probes: does the page at addrs[i] have the attribute? */
	void (*ops_probe)(int id, void *ctx, void *target, const shim_u64 *addrs, unsigned int nr, unsigned char *hits);
	shim_u64 (*ops_apply)(int id, void *ctx, void *target, void *region, void *scheme, shim_u64 *passed);
	int (*ops_valid)(int id, void *target);
	/* Requests (damon_call) and what is called back at fixed places; data is what was given. */
	int (*call)(void *data);
	void (*walk)(void *data, void *ctx, void *target, void *region, void *scheme, shim_u64 passed);
};

extern struct shim_callbacks shim;

enum shim_query {
	SHIM_FREE_PAGES,
	SHIM_TOTAL_PAGES,
	SHIM_LRU,
	SHIM_NODE_TOTAL,
	SHIM_NODE_FREE,
	SHIM_MEMCG_PAGES,
	SHIM_PSI_NS,
	SHIM_NODE_START,
	SHIM_NODE_END,
};

enum shim_report { SHIM_WARN, SHIM_BUG };
void shim_report(enum shim_report kind, const char *file, int line, const char *function, const char *format, ...)
	__attribute__((format(printf, 5, 6)));
void shim_printk(const char *level, const char *format, ...) __attribute__((format(printf, 2, 3)));

void *shim_alloc(size_t size);
void shim_free(void *p);
struct kmem_cache *shim_cache(size_t size);
void *shim_cache_alloc(struct kmem_cache *cache);

void shim_lock(void **owner);
int shim_trylock(void **owner);
void shim_unlock(void **owner);
void shim_complete(unsigned int *done);
void shim_wait_for(unsigned int *done);
struct task_struct *shim_kthread_run(int (*fn)(void *), void *data, const char *comm);
int shim_kthread_stop(struct task_struct *task);

void shim_usleep(unsigned long us);
long shim_schedule_timeout(long ticks);
#define shim_now_ns() (shim.now_ns)
#define shim_coarse_ns() (shim.coarse_ns)
#define shim_jiffies() ((unsigned long)shim.jiffies)
#define shim_hz() (shim.hz)

#define shim_seed() (shim.seed())
shim_u64 shim_random(shim_u64 *state);
/* In [l, r), of the running worker's generator. */
unsigned long shim_rand(unsigned long l, unsigned long r);

shim_u64 shim_query(int what, shim_u64 a, shim_u64 b);
#define shim_ram(index, start, end) (shim.ram(index, start, end))
struct mem_cgroup *shim_memcg(shim_u64 id);
void *shim_psi(void);

/* quiet.c: a stretch of time that passes in C */
int shim_is_quiet(void);
int shim_quiet_sleep(shim_u64 us, shim_u64 ticks);
shim_u64 shim_quiet_free_pages(void);
void shim_quiet_mkold(const void *space, const shim_u64 *addrs, unsigned int nr);
void shim_quiet_young(const void *space, const shim_u64 *addrs, unsigned int nr, unsigned char *answers);

void shim_trace(const char *event, const char *format, ...);
const char *shim_hex(const unsigned char *bytes, unsigned int nr);

#endif
