/* SPDX-License-Identifier: GPL-2.0-only */
/* Types, the compiler, numbers, and sizes of pages. Included by standin.h, in its order. */
#ifndef PYDAMON_STANDIN_BASE_H
#define PYDAMON_STANDIN_BASE_H

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

/* What the list macros of include/linux/list.h need. */
#define LIST_POISON1 ((void *)0x100)
#define LIST_POISON2 ((void *)0x122)
#define IS_ENABLED_LIST_HARDENED 0

#endif
