/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * In place of linux/tracepoint.h: one pass over the tree's TRACE_EVENT()s makes a function of each, which prints the
 * event as TP_printk() says and hands the text on. A point costs one test while it is not enabled.
 */
#ifndef PYDAMON_TRACEPOINT_H
#define PYDAMON_TRACEPOINT_H

struct shim_event {
	const char *name;
	int enabled;
};
#define SHIM_DYNAMIC 64

#define PARAMS(args...) args
#define TP_PROTO(args...) args
#define TP_ARGS(args...) args
#define TP_CONDITION(args...) args
#define TP_STRUCT__entry(args...) args
#define TP_fast_assign(args...) args
#define TP_printk(fmt, args...) fmt, args
#define __field(type, item) type item;
#define __field_struct(type, item) type item;
#define __array(type, item, len) type item[len];
#define __dynamic_array(type, item, len) type item[SHIM_DYNAMIC]; unsigned int item##_len;
#define __string(item, src) char item[SHIM_DYNAMIC];
#define __get_dynamic_array(item) (__entry->item)
#define __get_dynamic_array_len(item) ((unsigned int)SHIM_LEN_OF_##item)
#define __get_str(item) (__entry->item)
#define __print_hex(bytes, len) shim_hex(bytes, len)
#define __print_symbolic(value, symbols...) shim_number(value)
#define REC __entry

/* The lengths of dynamic arrays are arguments of the event in the kernel's DAMON. */
#define SHIM_LEN_OF_probe_hits nr_probes

#define TRACE_EVENT_CONDITION(name, proto, args, cond, tstruct, assign, print) \
	struct shim_entry_##name { tstruct }; \
	static struct shim_event shim_event_##name \
		__attribute__((used, section("damon_events"), aligned(8))) = { #name, 0 }; \
	static inline bool trace_##name##_enabled(void) { return shim_event_##name.enabled; } \
	__attribute__((unused)) static noinline void shim_trace_##name(proto) \
	{ \
		struct shim_entry_##name shim_entry = {}, *__entry = &shim_entry; \
		if (!(cond)) \
			return; \
		assign; \
		shim_trace(#name, print); \
	} \
	__attribute__((unused)) static inline void trace_##name(proto) \
	{ \
		if (unlikely(shim_event_##name.enabled)) \
			shim_trace_##name(args); \
	} \
	__attribute__((unused)) static inline void trace_call__##name(proto) { shim_trace_##name(args); }
#define TRACE_EVENT(name, proto, args, tstruct, assign, print) \
	TRACE_EVENT_CONDITION(name, PARAMS(proto), PARAMS(args), 1, PARAMS(tstruct), PARAMS(assign), PARAMS(print))

#endif
