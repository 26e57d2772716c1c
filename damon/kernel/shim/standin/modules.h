/* SPDX-License-Identifier: GPL-2.0-only */
/* Parameters of modules, and what runs when they are loaded. Included by standin.h, in its order. */
#ifndef PYDAMON_STANDIN_MODULES_H
#define PYDAMON_STANDIN_MODULES_H

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

#endif
