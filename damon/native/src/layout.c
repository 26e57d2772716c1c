// SPDX-License-Identifier: GPL-2.0-only
/*
 * Sizes and offsets of every struct that Python reads or writes, to be held against its twins
 * (damon/native/layout.py). A field that is left out here is found there: no struct has holes.
 */
#include <stddef.h>

#include "boundary.h"
#include "damos.h"
#include "linux.h"
#include "probe.h"
#include "results.h"
#include "sample.h"
#include "sim.h"

/* The Python records _Field and _Struct. kind: what a single value is, '-' for arrays, pointers and structs. */
struct field_layout {
	const char *name;
	uint32_t offset, size, kind, reserved;
};

struct struct_layout {
	const char *name;
	const struct field_layout *fields;
	uint32_t size, nr_fields;
};

#define KIND(value) \
	_Generic((value), uint8_t: 'u', uint32_t: 'u', uint64_t: 'u', int32_t: 'i', int64_t: 'i', double: 'f', \
		default: '-')
#define MEMBER(type, name) (((struct type *)0)->name)
#define F_OF(type, name) {#name, offsetof(struct type, name), sizeof(MEMBER(type, name)), KIND(MEMBER(type, name)), 0},
#define F_IN(type, name) F_OF(type, name)
#define F(name) F_IN(T, name)
#define FIELDS_OF(type) static const struct field_layout type##_fields[]
#define FIELDS(type) FIELDS_OF(type)
#define STRUCT(type) \
	{#type, type##_fields, sizeof(struct type), sizeof(type##_fields) / sizeof(*type##_fields)}

/* Tables of macros without commas. */
/* clang-format off */
#define T damon_region
FIELDS(T) = {
	F(start) F(end) F(sampling_addr) F(nr_accesses) F(last_nr_accesses) F(age) F(probe_hits)
	F(last_probe_hits) F(reserved)
};
#undef T

#define T damon_folio
FIELDS(T) = {
	F(pfn) F(memcg) F(addr) F(ilx) F(nr_pages) F(flags) F(target_nid) F(reserved)
};
#undef T

#define T damos_spec
FIELDS(T) = {
	F(min_sz) F(max_sz) F(skip_below) F(min_nr_accesses) F(max_nr_accesses) F(min_age) F(max_age) F(wants)
	F(scored) F(score) F(min_score) F(weight_nr_accesses) F(weight_age)
};
#undef T

#define T damos_rates
FIELDS(T) = {
	F(aggr_us) F(left_bp) F(max_nr_accesses)
};
#undef T

#define T damon_probe_filter
FIELDS(T) = {
	F(memcg) F(min) F(max) F(probe) F(type) F(matching) F(allow)
};
#undef T

#define T damon_access
FIELDS(T) = {
	F(space) F(mkold) F(young) F(accessed) F(empty)
};
#undef T

#define T damon_time
FIELDS(T) = {
	F(machine) F(advance) F(free_pages) F(next_event) F(now) F(limit) F(due) F(free_low) F(free_high)
	F(sampled) F(check_ns) F(late_ns) F(sleep_ns) F(tick_ns) F(first_tick) F(sleep_ticks) F(wheel_shift)
};
#undef T

#define T damon_sampled
FIELDS(T) = {
	F(regions) F(spans) F(addrs) F(hits) F(accessed) F(access) F(nr) F(capacity) F(room)
	F(nr_spans)
};
#undef T

#define T damon_boundary
FIELDS(T) = {
	F(reach)
};
#undef T

#define T damos_quiet
FIELDS(T) = {
	F(spec) F(limited) F(scored) F(acts) F(ages) F(ms) F(sz) F(window_ticks) F(esz) F(charged_sz)
	F(charged_from) F(total_charged_sz) F(total_charged_ns) F(resumes) F(resume_target) F(resume_addr)
	F(next_apply) F(apply_samples) F(nr_tried) F(sz_tried) F(qt_exceeds) F(nr_snapshots) F(nr_applied)
	F(sz_applied) F(sz_ops_filter_passed) F(position)
};
#undef T

#define T damon_quiet
FIELDS(T) = {
	F(boundary) F(schemes) F(due) F(specs) F(nr_schemes) F(acts) F(passed) F(next_aggregation)
	F(next_ops_update) F(aggr_samples) F(min_region_sz) F(min_nr_regions) F(max_nr_regions) F(sz_limit)
	F(max_threshold) F(last_nr_regions) F(rotation) F(tick_ns) F(first_tick) F(rates) F(results) F(done)
	F(stage)
};
#undef T

#define T damon_words
FIELDS(T) = {
	F(at) F(nr)
};
#undef T

#define T damon_results
FIELDS(T) = {
	F(words) F(capacity) F(used) F(beside) F(nr_beside) F(every) F(next) F(regions) F(last) F(sample_us)
	F(aggr_us) F(max_nr_accesses) F(acts) F(act_capacity) F(act_used)
};
#undef T

#define T lx_files
FIELDS(T) = {
	F(bitmap) F(kpageflags) F(kpagecgroup) F(proc) F(gap_pagemap) F(gap_kpageflags) F(gap_write)
	F(reserved) F(calls)
};
#undef T

#define T lx_key
FIELDS(T) = {
	F(key) F(row) F(aux)
};
#undef T

#define T lx_tracked
FIELDS(T) = {
	F(start) F(end) F(how)
};
#undef T

#define T lx_result
FIELDS(T) = {
	F(wanted) F(missing) F(own) F(stale) F(shared) F(acted) F(left) F(moved)
	F(unmapped) F(unevictable)
};
#undef T

#define T sim_page
FIELDS(T) = {
	F(t_eval) F(t_last) F(t_old) F(t_ref) F(seq) F(shadow) F(frame) F(covered) F(flags) F(swap)
	F(evictor)
};
#undef T

#define T sim_seg
FIELDS(T) = {
	F(t0) F(rate) F(share) F(skew) F(write) F(stride) F(period) F(base) F(owed) F(pattern)
	F(pad)
};
#undef T

#define T sim_ext
FIELDS(T) = {
	F(page) F(nr) F(frame)
};
#undef T

#define T trace_window
FIELDS(T) = {
	F(t0) F(t1) F(offset) F(total) F(nr) F(pad)
};
#undef T

#define T sim_trace
FIELDS(T) = {
	F(data) F(table) F(nr) F(first) F(nr_pages) F(origin) F(begin) F(length) F(time_scale) F(size_scale)
	F(nr_levels) F(loop) F(exact) F(pad)
};
#undef T

#define T sim_area
FIELDS(T) = {
	F(page) F(st) F(seg) F(ext) F(thp) F(trace) F(wanted) F(more_looks) F(start) F(nr_pages) F(process) F(kind) F(memcg) F(locked) F(mapped)
	F(epoch) F(nr_seg) F(nr_ext) F(t_mapped) F(nr_bulk) F(nr_bulk_idle) F(nr_present) F(nr_swapped)
	F(nr_active) F(nr_huge) F(faults) F(refaults) F(reclaimed) F(touches) F(bulk_seq) F(node_present)
	F(node_active) F(latency_t) F(latency_ns) F(touch_ns) F(node_rate) F(nr_evicted) F(residence_t)
	F(present_ns) F(evicted_ns)
};
#undef T

#define T sim_process
FIELDS(T) = {
	F(busy_until) F(stall_ns) F(faults) F(refaults) F(nr_present) F(nr_swapped) F(first_area) F(nr_area)
	F(alive) F(node)
	F(killed) F(killed_t) F(killed_present) F(killed_swapped) F(killed_free) F(killed_swap)
	F(killed_memcg)
};
#undef T

#define T sim_memcg
FIELDS(T) = {
	F(parent) F(max) F(high) F(low) F(min) F(swap_max) F(nr) F(nr_swapped) F(age) F(elow) F(emin) F(charged) F(psi_ns) F(psi_end)
	F(faults) F(refaults) F(pgscan) F(pgsteal) F(event_low) F(event_high) F(event_max) F(event_oom)
	F(event_oom_kill)
};
#undef T

#define T sim_lruvec
FIELDS(T) = {
	F(run) F(head) F(tail) F(nr) F(next)
};
#undef T

#define T sim_run
FIELDS(T) = {
	F(page) F(nr) F(seq) F(area) F(pad)
};
#undef T

#define T sim_free
FIELDS(T) = {
	F(frame) F(nr)
};
#undef T

#define T sim_buddy
FIELDS(T) = {
	F(order) F(next) F(prev) F(pcp) F(nr_frames) F(nr_pcp_max) F(last) F(nr_pcp) F(batch) F(high_min) F(high_max)
	F(high) F(free_count) F(alloc_factor) F(now) F(decayed) F(head) F(tail)
};
#undef T

#define T sim_event
FIELDS(T) = {
	F(t) F(id) F(page) F(nr) F(area) F(epoch)
};
#undef T

#define T sim_res
FIELDS(T) = {
	F(pfn) F(nr) F(frame) F(node)
};
#undef T

#define T sim_node
FIELDS(T) = {
	F(order) F(touch_ns) F(total) F(wmark_min) F(wmark_low) F(wmark_high) F(nr_free) F(nr_free_runs)
	F(kswapd_awake) F(kswapd_failures) F(huge_free)
};
#undef T

#define T sim_swap
FIELDS(T) = {
	F(priority) F(read_ns) F(write_ns) F(pages) F(used) F(turn)
};
#undef T

#define T sim_machine
FIELDS(T) = {
	F(area) F(process) F(block) F(leaf) F(vacant) F(used) F(event) F(free) F(buddy) F(memcg) F(lruvec) F(seed) F(nr_area) F(nr_process)
	F(nr_res) F(nr_node) F(nr_memcg) F(protected) F(run_mask) F(res) F(latency) F(nr_swap) F(swap_pages) F(thp) F(file_read_ns)
	F(file_write_ns) F(fault_ns) F(reclaim_ns) F(scan_ns) F(migrate_ns) F(huge_ns) F(next_event) F(node)
	F(swap) F(nr_event) F(next_id) F(next_seq) F(swap_used) F(sampled) F(isolated) F(nr_isolated) F(khugepaged)
	F(khugepaged_area) F(khugepaged_block) F(psi_ns) F(psi_end) F(pgfault) F(pgmajfault) F(pswpin)
	F(pswpout) F(refault_anon) F(refault_file) F(writeback) F(pgscan_kswapd) F(pgscan_direct)
	F(pgsteal_kswapd) F(pgsteal_direct) F(pgsteal_advised) F(pgactivate) F(pgdeactivate) F(allocstall)
	F(oom_kill) F(pgmigrate_success) F(pgmigrate_fail) F(thp_fault_alloc) F(thp_fault_fallback)
	F(thp_collapse_alloc) F(thp_collapse_alloc_failed) F(thp_split_page) F(thp_split_pmd) F(thp_swpout)
	F(thp_swpout_fallback) F(thp_migration_success) F(thp_migration_split)
};
#undef T

#define T sim_space
FIELDS(T) = {
	F(m) F(process)
};
#undef T
/* clang-format on */

static const struct struct_layout struct_layouts[] = {
	STRUCT(damon_region),	    STRUCT(damon_folio),  STRUCT(damos_spec),	STRUCT(damos_rates),
	STRUCT(damon_probe_filter), STRUCT(damon_access), STRUCT(damon_time),	STRUCT(damon_sampled),
	STRUCT(damon_boundary),	    STRUCT(damos_quiet),  STRUCT(damon_quiet),	STRUCT(damon_words),
	STRUCT(damon_results),	    STRUCT(lx_files),	  STRUCT(lx_key),	STRUCT(lx_tracked),
	STRUCT(lx_result),	    STRUCT(sim_page),	  STRUCT(sim_seg),	STRUCT(sim_ext),
	STRUCT(sim_area),	    STRUCT(sim_process),  STRUCT(sim_run),	STRUCT(sim_free),
	STRUCT(sim_event),	    STRUCT(sim_res),	  STRUCT(sim_node),	STRUCT(sim_swap),
	STRUCT(sim_machine),	    STRUCT(sim_space),	  STRUCT(trace_window), STRUCT(sim_trace),
	STRUCT(sim_memcg),	    STRUCT(sim_lruvec),	  STRUCT(sim_buddy),
};

/* The table, and how many rows it has. */
EXPORT const struct struct_layout *damon_struct_layouts(uint32_t *nr)
{
	*nr = sizeof(struct_layouts) / sizeof(*struct_layouts);
	return struct_layouts;
}
