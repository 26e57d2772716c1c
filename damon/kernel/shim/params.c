// SPDX-License-Identifier: GPL-2.0-only
/* Parameters of modules, and the calls that initialize those. */
#include "standin.h"

#define EXPORT __attribute__((visibility("default")))

void *calloc(size_t, size_t);
unsigned long long strtoull(const char *, char **, int);
int *__errno_location(void);

/* -- parsed as lib/kstrtox.c and kernel/params.c do */

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

/* -- what modules have */

extern struct kernel_param __start_damon_params[], __stop_damon_params[];
extern struct shim_description __start_damon_descriptions[] __attribute__((weak)),
	__stop_damon_descriptions[] __attribute__((weak));
extern struct shim_initcall __start_damon_initcalls[], __stop_damon_initcalls[];

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
