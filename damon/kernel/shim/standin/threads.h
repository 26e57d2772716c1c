/* SPDX-License-Identifier: GPL-2.0-only */
/* Threads of which one runs at a time, time, and random numbers. Included by standin.h, in its order. */
#ifndef PYDAMON_STANDIN_THREADS_H
#define PYDAMON_STANDIN_THREADS_H

/* -- threads: one runs at a time */

struct mutex {
	void *owner;
};
#define __MUTEX_INITIALIZER(name) { NULL }
#define DEFINE_MUTEX(name) struct mutex name = { NULL }
#define mutex_init(m) ((m)->owner = NULL)
#define mutex_destroy(m) ((void)(m))
#define mutex_lock(m) shim_lock(&(m)->owner)
#define mutex_lock_interruptible(m) (shim_lock(&(m)->owner), 0)
#define mutex_trylock(m) shim_trylock(&(m)->owner)
#define mutex_unlock(m) shim_unlock(&(m)->owner)
#define mutex_is_locked(m) ((m)->owner != NULL)
#define lockdep_assert_held(m) ((void)(m))
typedef struct mutex spinlock_t;
#define DEFINE_SPINLOCK(name) struct mutex name = { NULL }
#define spin_lock_init mutex_init
#define spin_lock mutex_lock
#define spin_unlock mutex_unlock
#define rcu_read_lock() do { } while (0)
#define rcu_read_unlock() do { } while (0)
#define __cleanup(fn) __attribute__((cleanup(fn)))
static inline void shim_guard_end(struct mutex **m)
{
	if (*m)
		shim_unlock(&(*m)->owner);
}
#define guard(kind) shim_guard_##kind
#define shim_guard_mutex(m) struct mutex *__UNIQUE_ID(guard) __cleanup(shim_guard_end) = (mutex_lock(m), (m))
#define scoped_guard(kind, m) \
	for (struct mutex *_g __cleanup(shim_guard_end) = (mutex_lock(m), (m)), *_once = (m); _once; _once = NULL)

struct completion {
	unsigned int done;
};
#define init_completion(c) ((c)->done = 0)
#define reinit_completion(c) ((c)->done = 0)
#define complete(c) shim_complete(&(c)->done)
#define complete_all complete
#define wait_for_completion(c) shim_wait_for(&(c)->done)
#define completion_done(c) ((c)->done != 0)

struct task_struct {
	int pid;
	bool should_stop;
	int (*fn)(void *data);
	void *data;
	u64 *rnd; /* the generator of this worker's context */
	char comm[16];
};
extern __thread struct task_struct *shim_current;
#define current shim_current
#define kthread_run(fn, data, fmt, a...) ({ char _comm[16]; snprintf(_comm, sizeof(_comm), fmt, ##a); \
	shim_kthread_run(fn, data, _comm); })
#define kthread_should_stop() (current->should_stop)
#define kthread_stop(t) shim_kthread_stop(t)
#define kthread_stop_put(t) shim_kthread_stop(t)
#define get_task_struct(t) ((void)(t))
#define put_task_struct(t) ((void)(t))
#define TASK_IDLE 0x402
#define set_current_state(s) do { } while (0)

struct pid {
	int refs;
	u64 space;
};
static inline struct pid *get_pid(struct pid *pid)
{
	if (pid)
		pid->refs++;
	return pid;
}
static inline void put_pid(struct pid *pid)
{
	if (pid && --pid->refs == 0) {
		shim.put_process(pid->space);
		shim_free(pid);
	}
}

struct pid *shim_find_pid(int nr);
#define find_get_pid(nr) shim_find_pid(nr)

/* -- time */

#define NSEC_PER_USEC 1000l
#define NSEC_PER_MSEC 1000000l
#define NSEC_PER_SEC 1000000000l
#define USEC_PER_MSEC 1000l
#define USEC_PER_SEC 1000000l
#define MSEC_PER_SEC 1000l
#define HZ ((long)shim_hz())
#define jiffies shim_jiffies()
#define jiffies_64 ((u64)shim_jiffies())
#define MAX_JIFFY_OFFSET ((LONG_MAX >> 1) - 1)
#define time_after(a, b) ((long)((b) - (a)) < 0)
#define time_before(a, b) time_after(b, a)
#define time_after_eq(a, b) ((long)((a) - (b)) >= 0)
#define time_before_eq(a, b) time_after_eq(b, a)
#define time_in_range(a, b, c) (time_after_eq(a, b) && time_before_eq(a, c))
#define time_in_range_open(a, b, c) (time_after_eq(a, b) && time_before(a, c))
#define time_is_before_jiffies(a) time_after(jiffies, a)
unsigned long msecs_to_jiffies(const unsigned int m);
unsigned long usecs_to_jiffies(const unsigned int u);
#define secs_to_jiffies(s) ((unsigned long)((s) * HZ))
unsigned int jiffies_to_msecs(const unsigned long j);
unsigned int jiffies_to_usecs(const unsigned long j);

typedef s64 ktime_t;
typedef s64 time64_t;
struct timespec64 {
	time64_t tv_sec;
	long tv_nsec;
};
static inline s64 timespec64_to_ns(const struct timespec64 *t)
{
	return (s64)t->tv_sec * NSEC_PER_SEC + t->tv_nsec;
}
static inline void shim_timespec(u64 ns, struct timespec64 *t)
{
	t->tv_sec = (time64_t)(ns / NSEC_PER_SEC);
	t->tv_nsec = (long)(ns % NSEC_PER_SEC);
}
#define ktime_get_coarse_ts64(t) shim_timespec(shim_coarse_ns(), t)
#define ktime_get_ts64(t) shim_timespec(shim_now_ns(), t)
#define ktime_get() ((ktime_t)shim_now_ns())
#define ktime_get_ns() ((u64)shim_now_ns())
#define ktime_get_coarse_ns() ((u64)shim_coarse_ns())
#define ktime_to_ns(t) (t)
#define ktime_sub(a, b) ((a) - (b))

/* include/linux/delay.h of 7.x: from four ticks on a sleep ends at one. Older core.c has its own bound. */
#define USLEEP_RANGE_UPPER_BOUND ((unsigned long)shim.upper_us)
#define usleep_range(min, max) shim_usleep(min)
#define usleep_range_idle(min, max) shim_usleep(min)
#define usleep_idle_range(min, max) shim_usleep(min)
#define fsleep(us) shim_usleep(us)
#define schedule_timeout_idle(timeout) shim_schedule_timeout(timeout)
#define schedule_timeout_interruptible(timeout) shim_schedule_timeout(timeout)
#define schedule_timeout_uninterruptible(timeout) shim_schedule_timeout(timeout)
#define schedule_timeout(timeout) shim_schedule_timeout(timeout)
#define schedule() do { } while (0)
#define msleep(ms) ((void)shim_schedule_timeout(msecs_to_jiffies(ms)))

/* -- random numbers: pydamon's own generator (damon.h's damon_rand() is replaced, see the stand-in of damon.h) */

struct rnd_state {
	u64 state;
};
#define get_random_u64() shim_seed()
#define get_random_u32() ((u32)(shim_random(NULL) >> 32))
#define get_random_u32_below(n) ((u32)((unsigned __int128)shim_random(NULL) * (n) >> 64))
#define prandom_seed_state(rnd, seed) ((rnd)->state = (seed))
#define prandom_u32_state(rnd) ((u32)(shim_random(&(rnd)->state) >> 32))

#endif
