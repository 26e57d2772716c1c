/* SPDX-License-Identifier: GPL-2.0-only */
/* Strings, and memory that is allocated. Included by standin.h, in its order. */
#ifndef PYDAMON_STANDIN_STRINGS_H
#define PYDAMON_STANDIN_STRINGS_H

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

#endif
