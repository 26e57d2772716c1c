/* SPDX-License-Identifier: GPL-2.0-only */
/* Error numbers, warnings and messages. Included by standin.h, in its order. */
#ifndef PYDAMON_STANDIN_ERRORS_H
#define PYDAMON_STANDIN_ERRORS_H

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

#endif
