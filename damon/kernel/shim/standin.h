/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What mm/damon/{core,modules-common,reclaim,lru_sort,stat}.c of a kernel tree need of the rest of the kernel, in user
 * space. No header of the C library is included here: its names clash with the kernel's.
 * damon.h and list.h are the tree's own; what happens is in runtime.c, behind the functions of shim.h.
 */
#ifndef PYDAMON_KERNEL_H
#define PYDAMON_KERNEL_H

#include <stdarg.h>
#include <stddef.h>

#include "shim.h"

/* -- types */

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef signed char s8;
typedef short s16;
typedef int s32;
typedef long long s64;
typedef u8 __u8;
typedef u16 __u16;
typedef u32 __u32;
typedef u64 __u64;
typedef u32 uint32_t;
typedef u64 uint64_t;
typedef unsigned long uintptr_t;
typedef long ssize_t;
typedef unsigned long __kernel_ulong_t;
typedef u64 phys_addr_t;
typedef u64 resource_size_t;
typedef unsigned int gfp_t;
typedef int pid_t;
typedef unsigned short umode_t;
typedef struct {
	unsigned long pte;
} pte_t;
typedef struct {
	unsigned long pmd;
} pmd_t;
typedef _Bool bool;
#define true 1
#define false 0

struct list_head {
	struct list_head *next, *prev;
};
struct hlist_node {
	struct hlist_node *next, **pprev;
};
struct hlist_head {
	struct hlist_node *first;
};
struct vm_area_struct;
struct kernel_param;

#define BITS_PER_LONG 64
#define U8_MAX ((u8)~0)
#define U16_MAX ((u16)~0)
#define U32_MAX ((u32)~0u)
#define U64_MAX ((u64)~0ull)
#define S32_MAX ((s32)(U32_MAX >> 1))
#define S64_MAX ((s64)(U64_MAX >> 1))
#define INT_MAX __INT_MAX__
#define INT_MIN (-INT_MAX - 1)
#define UINT_MAX (~0u)
#define LONG_MAX __LONG_MAX__
#define LONG_MIN (-LONG_MAX - 1)
#define ULONG_MAX (~0ul)
#define SIZE_MAX (~(size_t)0)

/* -- compiler */

#define __init
#define __exit
#define __initdata
#define __user
#define __force
#define __read_mostly
#define __ro_after_init
#define __maybe_unused __attribute__((unused))
#define __must_check
#define __always_inline inline __attribute__((always_inline))
#define noinline __attribute__((noinline))
#define noinline_for_stack noinline
#define __printf(a, b) __attribute__((format(printf, a, b)))
#define __packed __attribute__((packed))
#define __rcu
#define __context_unsafe(text...)
#define __guarded_by(locks...)
#define __no_context_analysis
#define __must_hold(lock)
#define __acquires(lock)
#define __releases(lock)
#define __aligned(x) __attribute__((aligned(x)))
#define fallthrough __attribute__((fallthrough))
#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)
#define barrier() __asm__ volatile("" ::: "memory")
#define READ_ONCE(x) (*(const volatile typeof(x) *)&(x))
#define WRITE_ONCE(x, v) (*(volatile typeof(x) *)&(x) = (v))
#define data_race(x) (x)
#define smp_store_release(p, v) WRITE_ONCE(*(p), v)
#define smp_load_acquire(p) READ_ONCE(*(p))
#define smp_mb() barrier()
#define smp_wmb() barrier()
#define smp_rmb() barrier()
#define BUILD_BUG_ON(x) _Static_assert(!(x), #x)
#define static_assert _Static_assert
#define __same_type(a, b) __builtin_types_compatible_p(typeof(a), typeof(b))
#define typeof_member(T, m) typeof(((T *)0)->m)
#define container_of(ptr, type, member) ((type *)((char *)(ptr) - offsetof(type, member)))
#define container_of_const container_of
#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define struct_size(p, member, n) (sizeof(*(p)) + sizeof(*(p)->member) * (n))
#define __stringify_1(x...) #x
#define __stringify(x...) __stringify_1(x)
#define ___CAT(a, b) a##b
#define __CAT(a, b) ___CAT(a, b)
#define __UNIQUE_ID(prefix) __CAT(prefix##_, __COUNTER__)
#define KBUILD_MODNAME "damon"
/* true for an option that is defined as 1, without a look at others */
#define __ARG_PLACEHOLDER_1 0,
#define __take_second(a, b, ...) b
#define ___is_defined(x) __take_second(x 1, 0)
#define __is_defined2(v) ___is_defined(__ARG_PLACEHOLDER_##v)
#define __is_defined1(x) __is_defined2(x)
#define IS_ENABLED(option) __is_defined1(option)
#define IS_BUILTIN IS_ENABLED
#define EXPORT_SYMBOL(x)
#define EXPORT_SYMBOL_GPL(x)
#define EXPORT_SYMBOL_FOR_MODULES(x, y)
#define MODULE_LICENSE(x)
#define MODULE_AUTHOR(x)
#define MODULE_DESCRIPTION(x)
#define THIS_MODULE ((struct module *)0)

/* -- numbers */

#define min(a, b) ({ typeof(a) _a = (a); typeof(b) _b = (b); _a < _b ? _a : _b; })
#define max(a, b) ({ typeof(a) _a = (a); typeof(b) _b = (b); _a > _b ? _a : _b; })
#define min_t(T, a, b) ({ T _a = (a); T _b = (b); _a < _b ? _a : _b; })
#define max_t(T, a, b) ({ T _a = (a); T _b = (b); _a > _b ? _a : _b; })
#define min3(a, b, c) min(min(a, b), c)
#define max3(a, b, c) max(max(a, b), c)
#define clamp(v, lo, hi) min(max(v, lo), hi)
#define clamp_t(T, v, lo, hi) min_t(T, max_t(T, v, lo), hi)
#define swap(a, b) do { typeof(a) _t = (a); (a) = (b); (b) = _t; } while (0)
/* As in the kernel, of the signed number of that width: 5u - 6u is 1. */
#define abs(x) __builtin_choose_expr(sizeof(x) == sizeof(long), \
	({ long _x = (long)(x); _x < 0 ? -_x : _x; }), ({ int _x = (int)(x); _x < 0 ? -_x : _x; }))
#define abs_diff(a, b) ({ typeof(a) _a = (a); typeof(b) _b = (b); _a > _b ? _a - _b : _b - _a; })
#define mult_frac(x, n, d) ({ typeof(x) _x = (x); typeof(n) _n = (n); typeof(d) _d = (d); \
	typeof(_x) _q = _x / _d, _r = _x % _d; _q * _n + _r * _n / _d; })
#define DIV_ROUND_UP(n, d) (((n) + (d) - 1) / (d))
#define __ALIGN_MASK(x, mask) (((x) + (mask)) & ~(mask))
#define ALIGN(x, a) __ALIGN_MASK(x, (typeof(x))(a) - 1)
#define ALIGN_DOWN(x, a) ALIGN((x) - ((a) - 1), (a))
#define IS_ALIGNED(x, a) (((x) & ((typeof(x))(a) - 1)) == 0)
#define round_up ALIGN
#define round_down ALIGN_DOWN
#define rounddown(x, y) ({ typeof(x) _x = (x); _x - _x % (y); })
#define roundup(x, y) ({ typeof(y) _y = (y); ((x) + _y - 1) / _y * _y; })
#define is_power_of_2(n) ({ unsigned long _n = (n); _n != 0 && (_n & (_n - 1)) == 0; })
#define ilog2(n) (63 - __builtin_clzll((u64)(n)))
#define fls(n) ({ unsigned int _n = (n); _n ? 32 - __builtin_clz(_n) : 0; })
#define BIT(n) (1ul << (n))
#define GENMASK(h, l) ((~0ul << (l)) & (~0ul >> (63 - (h))))
#define div_u64(n, d) ((u64)(n) / (u32)(d))
#define div64_u64(n, d) ((u64)(n) / (u64)(d))
#define div64_ul(n, d) ((u64)(n) / (unsigned long)(d))
#define div_s64(n, d) ((s64)(n) / (s32)(d))
#define do_div(n, d) ({ u32 _d = (d); u32 _r = (u64)(n) % _d; (n) = (u64)(n) / _d; _r; })
static inline u64 mul_u64_u64_shr(u64 a, u64 b, unsigned int shift)
{
	return (u64)(((unsigned __int128)a * b) >> shift);
}
static inline u64 mul_u64_u64_div_u64(u64 a, u64 b, u64 c)
{
	return (u64)((unsigned __int128)a * b / c);
}
#define check_add_overflow(a, b, d) __builtin_add_overflow(a, b, d)
#define check_mul_overflow(a, b, d) __builtin_mul_overflow(a, b, d)
#define check_sub_overflow(a, b, d) __builtin_sub_overflow(a, b, d)
static inline size_t size_mul(size_t a, size_t b)
{
	size_t out;

	return __builtin_mul_overflow(a, b, &out) ? SIZE_MAX : out;
}

#define PAGE_SHIFT 12
#define PAGE_SIZE (1ul << PAGE_SHIFT)
#define PAGE_MASK (~(PAGE_SIZE - 1))
#define PAGE_ALIGN(x) ALIGN(x, PAGE_SIZE)
#define PAGE_ALIGN_DOWN(x) ALIGN_DOWN(x, PAGE_SIZE)
#define PHYS_PFN(x) ((unsigned long)((x) >> PAGE_SHIFT))
#define PFN_PHYS(x) ((phys_addr_t)(x) << PAGE_SHIFT)
#define PFN_DOWN(x) ((x) >> PAGE_SHIFT)
#define SZ_4K 0x1000
#define SZ_2M 0x200000

/* -- errors and reports */

#define EPERM 1
#define ENOENT 2
#define ESRCH 3
#define EINTR 4
#define EIO 5
#define E2BIG 7
#define EAGAIN 11
#define ENOMEM 12
#define EACCES 13
#define EFAULT 14
#define EBUSY 16
#define EEXIST 17
#define ENODEV 19
#define EINVAL 22
#define ENOSPC 28
#define ERANGE 34
#define EDEADLK 35
#define ENOSYS 38
#define ENODATA 61
#define EOVERFLOW 75
#define EOPNOTSUPP 95
#define ETIMEDOUT 110
#define ECANCELED 125
#define MAX_ERRNO 4095
#define IS_ERR_VALUE(x) ((unsigned long)(void *)(x) >= (unsigned long)-MAX_ERRNO)
#define IS_ERR(p) IS_ERR_VALUE(p)
#define IS_ERR_OR_NULL(p) (!(p) || IS_ERR_VALUE(p))
#define PTR_ERR(p) ((long)(p))
#define ERR_PTR(e) ((void *)(long)(e))
#define ERR_CAST(p) ((void *)(p))
#define PTR_ERR_OR_ZERO(p) (IS_ERR(p) ? (int)PTR_ERR(p) : 0)

#define BUG() shim_report(SHIM_BUG, __FILE__, __LINE__, __func__, "")
#define BUG_ON(c) do { if (unlikely(c)) BUG(); } while (0)
#define VM_BUG_ON BUG_ON
#define __warn(c, text...) ({ bool _c = !!(c); \
	if (unlikely(_c)) shim_report(SHIM_WARN, __FILE__, __LINE__, __func__, "" text); unlikely(_c); })
#define __warn_once(c, text...) ({ static bool _done; bool _w = !!(c); \
	if (unlikely(_w) && !_done) { _done = true; shim_report(SHIM_WARN, __FILE__, __LINE__, __func__, "" text); } \
	unlikely(_w); })
#define WARN(c, text...) __warn(c, text)
#define WARN_ON(c) __warn(c, #c)
#define WARN_ONCE(c, text...) __warn_once(c, text)
#define WARN_ON_ONCE(c) __warn_once(c, #c)
#define VM_WARN_ON WARN_ON
#define VM_WARN_ON_ONCE WARN_ON_ONCE
#ifndef pr_fmt
#define pr_fmt(fmt) fmt
#endif
#define KERN_ERR ""
#define pr_emerg(fmt, a...) shim_printk("err", pr_fmt(fmt), ##a)
#define pr_alert pr_emerg
#define pr_crit pr_emerg
#define pr_err(fmt, a...) shim_printk("err", pr_fmt(fmt), ##a)
#define pr_warn(fmt, a...) shim_printk("warn", pr_fmt(fmt), ##a)
#define pr_warn_once pr_warn
#define pr_warn_ratelimited pr_warn
#define pr_notice(fmt, a...) shim_printk("notice", pr_fmt(fmt), ##a)
#define pr_info(fmt, a...) shim_printk("info", pr_fmt(fmt), ##a)
#define pr_info_once pr_info
#define pr_debug(fmt, a...) do { if (0) shim_printk("debug", pr_fmt(fmt), ##a); } while (0)
#define printk(fmt, a...) shim_printk("info", fmt, ##a)
#define might_sleep() do { } while (0)
#define cond_resched() do { } while (0)
#define cpu_relax() do { } while (0)

/* -- strings and memory */

void *memcpy(void *, const void *, size_t);
void *memmove(void *, const void *, size_t);
void *memset(void *, int, size_t);
int memcmp(const void *, const void *, size_t);
void *memchr(const void *, int, size_t);
size_t strlen(const char *);
int strcmp(const char *, const char *);
int strncmp(const char *, const char *, size_t);
char *strchr(const char *, int);
char *strstr(const char *, const char *);
int snprintf(char *, size_t, const char *, ...) __printf(3, 4);
int sprintf(char *, const char *, ...) __printf(2, 3);
#define scnprintf(buf, size, fmt, a...) ({ int _n = snprintf(buf, size, fmt, ##a); \
	_n < (int)(size) ? _n : (int)(size) - 1; })
#define sysfs_emit(buf, fmt, a...) sprintf(buf, fmt, ##a)
#define strscpy(d, s) (strlen(s) < sizeof(d) ? (memcpy(d, s, strlen(s) + 1), (ssize_t)strlen(s)) : -E2BIG)
#define str_high_low(v) ((v) ? "high" : "low")
#define str_on_off(v) ((v) ? "on" : "off")
#define str_yes_no(v) ((v) ? "yes" : "no")
#define str_enable_disable(v) ((v) ? "enable" : "disable")
#define str_enabled_disabled(v) ((v) ? "enabled" : "disabled")
int kstrtobool(const char *s, bool *out);
int kstrtoul(const char *s, unsigned int base, unsigned long *out);
int kstrtol(const char *s, unsigned int base, long *out);
int kstrtouint(const char *s, unsigned int base, unsigned int *out);
int kstrtoint(const char *s, unsigned int base, int *out);

#define GFP_KERNEL 0u
#define GFP_ATOMIC 0u
#define GFP_NOWAIT 0u
#define __GFP_ZERO 0u
#define __GFP_NOWARN 0u
#define ZERO_SIZE_PTR ((void *)16)
/* CONFIG_INIT_ON_ALLOC_DEFAULT_ON, as distributions have it: what kmalloc() gives is zeroed. */
static inline void *kmalloc(size_t size, gfp_t flags)
{
	(void)flags;
	return size ? shim_alloc(size) : ZERO_SIZE_PTR;
}
#define kzalloc kmalloc
#define kvmalloc kmalloc
#define kvzalloc kmalloc
#define vmalloc(size) kmalloc(size, GFP_KERNEL)
static inline void *kmalloc_array(size_t n, size_t size, gfp_t flags)
{
	size = size_mul(n, size);
	return size == SIZE_MAX ? NULL : kmalloc(size, flags);
}
#define kcalloc kmalloc_array
#define kvmalloc_array kmalloc_array
#define kvcalloc kmalloc_array
static inline void kfree(const void *p)
{
	if (p != ZERO_SIZE_PTR)
		shim_free((void *)p);
}
#define kvfree kfree
#define vfree kfree
#define __obj_flags(flags...) GFP_KERNEL
#define kmalloc_obj(p, flags...) ((typeof(p) *)kmalloc(sizeof(p), GFP_KERNEL))
#define kzalloc_obj kmalloc_obj
#define kvmalloc_obj kmalloc_obj
#define kvzalloc_obj kmalloc_obj
#define kmalloc_objs(p, n, flags...) ((typeof(p) *)kmalloc_array(n, sizeof(p), GFP_KERNEL))
#define kzalloc_objs kmalloc_objs
#define kvmalloc_objs kmalloc_objs
#define kvzalloc_objs kmalloc_objs
void *kmemdup_noprof(const void *src, size_t size, gfp_t flags);
#define kmemdup kmemdup_noprof

struct kmem_cache {
	size_t size;
};
#define KMEM_CACHE(name, flags) shim_cache(sizeof(struct name))
#define kmem_cache_alloc(cache, flags) shim_cache_alloc(cache)
#define kmem_cache_zalloc kmem_cache_alloc
#define kmem_cache_free(cache, p) shim_free(p)

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

/* -- memory of the machine */

struct resource {
	resource_size_t start, end;
};
#define resource_size(r) ((r)->end - (r)->start + 1)
static inline int walk_system_ram_res(u64 start, u64 end, void *arg, int (*fn)(struct resource *, void *))
{
	struct resource res;
	int ret = 0;

	(void)start, (void)end;
	for (unsigned int i = 0; !ret && shim_ram(i, &res.start, &res.end); i++)
		ret = fn(&res, arg);
	return ret;
}
#define walk_iomem_res_desc(desc, flags, start, end, arg, fn) walk_system_ram_res(start, end, arg, fn)

struct sysinfo {
	unsigned long totalram, freeram, totalhigh, freehigh;
	unsigned int mem_unit;
};
#define MAX_NUMNODES 1024
#define N_MEMORY 0
#define NUMA_NO_NODE (-1)
#define node_state(nid, state) (shim_query(SHIM_NODE_TOTAL, (u64)(nid), 0) != ~0ull)
#define node_online(nid) node_state(nid, N_MEMORY)
#define node_start_pfn(nid) ((unsigned long)shim_query(SHIM_NODE_START, (u64)(nid), 0))
#define node_end_pfn(nid) ((unsigned long)shim_query(SHIM_NODE_END, (u64)(nid), 0))
static inline void si_meminfo_node(struct sysinfo *i, int nid)
{
	i->totalram = shim_query(SHIM_NODE_TOTAL, (u64)nid, 0);
	i->freeram = shim_query(SHIM_NODE_FREE, (u64)nid, 0);
}
enum zone_stat_item { NR_FREE_PAGES };
enum lru_list { LRU_INACTIVE_ANON, LRU_ACTIVE_ANON, LRU_INACTIVE_FILE, LRU_ACTIVE_FILE, LRU_UNEVICTABLE, NR_LRU_LISTS };
enum node_stat_item { NR_LRU_BASE, NR_INACTIVE_ANON = NR_LRU_BASE, NR_ACTIVE_ANON, NR_INACTIVE_FILE, NR_ACTIVE_FILE };
#define global_zone_page_state(item) ((unsigned long)shim_query(SHIM_FREE_PAGES, 0, 0))
#define totalram_pages() ((unsigned long)shim_query(SHIM_TOTAL_PAGES, 0, 0))
#define global_node_page_state(item) ((unsigned long)shim_query(SHIM_LRU, (u64)(item), 0))

struct mem_cgroup {
	u64 id;
};
struct lruvec {
	u64 memcg, nid;
};
#define mem_cgroup_get_from_id(id) shim_memcg(id)
#define mem_cgroup_get_from_ino(id) shim_memcg(id)
#define mem_cgroup_put(m) ((void)(m))
#define mem_cgroup_flush_stats(m) ((void)(m))
#define mem_cgroup_id(m) ((m)->id)
#define NODE_DATA(nid) (nid)
#define mem_cgroup_lruvec(m, nid) (&(struct lruvec){(m)->id, (u64)(nid)})
/* All lists of the cgroup on the node are one number here; it is counted with the first of them. */
#define lruvec_page_state(l, item) \
	((unsigned long)((item) == NR_ACTIVE_ANON ? shim_query(SHIM_MEMCG_PAGES, (l)->memcg, (l)->nid) : 0))

#define PSI_AVGS 0
#define PSI_MEM 1
#define PSI_MEM_SOME 2
struct psi_group {
	u64 total[1][8];
};
#define psi_disabled 0
#define static_branch_likely(x) (*(x))
#define static_branch_unlikely(x) (*(x))
#undef psi_disabled
extern int psi_disabled;
#define psi_system (*(struct psi_group *)shim_psi())

struct folio {
	unsigned long pfn, nr_pages;
	int nid;
};
#define folio_pfn(f) ((f)->pfn)
#define folio_size(f) ((f)->nr_pages << PAGE_SHIFT)
#define folio_nr_pages(f) ((f)->nr_pages)
#define folio_nid(f) ((f)->nid)
#define folio_put(f) ((void)(f))

void sort(void *base, size_t num, size_t size, int (*cmp)(const void *, const void *),
	  void (*swp)(void *, void *, int));

/* -- modules */

#define KERNEL_PARAM_OPS_FL_NOARG 1
struct kernel_param_ops {
	unsigned int flags;
	int (*set)(const char *val, const struct kernel_param *kp);
	int (*get)(char *buffer, const struct kernel_param *kp);
	void (*free)(void *arg);
};
struct kparam_array {
	unsigned int max, elemsize;
	unsigned int *num;
	const struct kernel_param_ops *ops;
	void *elem;
};
struct kernel_param {
	const char *name, *type, *file;
	const struct kernel_param_ops *ops;
	unsigned int perm;
	union {
		void *arg;
		const struct kparam_array *arr;
	};
};
struct shim_description {
	const char *name, *text;
};
struct shim_initcall {
	int level;
	int (*fn)(void);
	const char *prefix;
};

#define __shim_section(name) __attribute__((used, section(name), aligned(8)))
#ifndef MODULE_PARAM_PREFIX
#define MODULE_PARAM_PREFIX SHIM_FILE "."
#endif
#define __module_param(pname, ptype, pops, pperm, parg) \
	static struct kernel_param __shim_section("damon_params") __UNIQUE_ID(param_##pname) = { \
		.name = MODULE_PARAM_PREFIX #pname, .type = ptype, .file = __FILE__, .ops = pops, .perm = pperm, \
		{ (void *)(parg) } }
#define module_param_cb(pname, pops, parg, pperm) __module_param(pname, "", pops, pperm, parg)
#define module_param_named(pname, value, type, pperm) \
	static inline typeof(value) *__UNIQUE_ID(check_##pname)(void) { return (shim_c_##type *)&(value); } \
	__module_param(pname, #type, &param_ops_##type, pperm, &(value))
#define module_param(name, type, perm) module_param_named(name, name, type, perm)
#define core_param module_param_named
#define module_param_array(pname, ptype, nump, pperm) \
	static const struct kparam_array __CAT(shim_array_, pname) = { \
		.max = ARRAY_SIZE(pname), .elemsize = sizeof((pname)[0]), .num = nump, \
		.ops = &param_ops_##ptype, .elem = pname }; \
	__module_param(pname, #ptype "[]", &param_array_ops, pperm, &__CAT(shim_array_, pname))
#define MODULE_PARM_DESC(pname, desc) \
	static struct shim_description __shim_section("damon_descriptions") __UNIQUE_ID(desc_##pname) = { \
		MODULE_PARAM_PREFIX #pname, desc }
#define __initcall(nr, f) \
	static struct shim_initcall __shim_section("damon_initcalls") __UNIQUE_ID(initcall) = { \
		nr, f, MODULE_PARAM_PREFIX }
#define subsys_initcall(fn) __initcall(4, fn)
#define core_initcall(fn) __initcall(1, fn)
#define device_initcall(fn) __initcall(6, fn)
#define late_initcall(fn) __initcall(7, fn)
#define module_init(fn) __initcall(6, fn)
#define module_exit(fn)

typedef unsigned long shim_c_ulong;
typedef long shim_c_long;
typedef unsigned int shim_c_uint;
typedef int shim_c_int;
typedef unsigned short shim_c_ushort;
typedef short shim_c_short;
typedef bool shim_c_bool;
typedef unsigned char shim_c_byte;
typedef char *shim_c_charp;
extern const struct kernel_param_ops param_ops_ulong, param_ops_long, param_ops_uint, param_ops_int, param_ops_bool,
	param_ops_ushort, param_ops_short, param_ops_byte, param_ops_charp, param_array_ops;
int param_set_bool(const char *val, const struct kernel_param *kp);
int param_get_bool(char *buffer, const struct kernel_param *kp);
int param_set_ulong(const char *val, const struct kernel_param *kp);
int param_get_ulong(char *buffer, const struct kernel_param *kp);
int param_set_uint(const char *val, const struct kernel_param *kp);
int param_get_uint(char *buffer, const struct kernel_param *kp);
int param_set_int(const char *val, const struct kernel_param *kp);
int param_get_int(char *buffer, const struct kernel_param *kp);

/* -- the list macros of include/linux/list.h need */

#define LIST_POISON1 ((void *)0x100)
#define LIST_POISON2 ((void *)0x122)
#define IS_ENABLED_LIST_HARDENED 0

#endif
