/* SPDX-License-Identifier: GPL-2.0-only */
/* The compiled workload: what damon/workload/plan.py writes and the program performs. */
#ifndef PYDAMON_PLAN_H
#define PYDAMON_PLAN_H

#include <stdint.h>
#include <stdio.h>

#define PAGE 4096ull
#define NAME_MAX_LEN 64
#define MAX_TIME_NS 1000000000000000000l /* of a trace */
#define MAX_ROUND_US 10000 /* touches later than 20 ms are dropped */

enum pattern { SEQUENTIAL, STRIDED, RANDOM, ZIPF };
enum event_kind { EV_MMAP, EV_MUNMAP, EV_EXIT };

struct area {
	char name[NAME_MAX_LEN + 1];
	int process, is_file, populate, mapped, locked;
	uint64_t size;
	/* In its process only. */
	uint8_t *base, *reported_base; /* NULL: not mapped; as in the last report */
	uint64_t touches;
	uint64_t pairs, reported_pairs; /* (page, sampling interval) pairs with a touch; until the last report */
	uint64_t us, reported_us; /* time that the area was mapped and measured; until the last report */
	uint64_t counted_us; /* clock up to which us is counted */
	uint32_t *last_interval; /* of each page; 0: not touched since it was mapped */
	uint64_t absent; /* pages that were not touched since, of an area that is not populated */
	/* Of a pass in order, which goes on from phase to phase: its stride (0: none), the next offset, and its phase.
	 */
	uint64_t stride, position, phase_number;
	double owed; /* part of a touch that was due when the last phase ended */
};

struct access {
	int area;
	enum pattern pattern;
	double rate, write_share, skew;
	uint64_t stride;
	/* State. */
	uint64_t done, dropped;
	double *cumulative; /* of zipf weights */
};

struct event {
	enum event_kind kind;
	int index; /* of the area or process */
};

struct phase {
	char name[NAME_MAX_LEN + 1];
	uint64_t duration_us;
	struct access *accesses;
	struct event *events;
	int nr_accesses, nr_events;
};

/* A trace file, mapped, or copied when it is small. */
struct file {
	char path[4096];
	const uint8_t *data;
	uint64_t size;
};

/* An area that is mapped or unmapped, so many ns of the trace after its part begins. */
struct turn {
	int64_t at;
	int mapped;
};

/* What an area replays: pages and a time of a trace file, both scaled. State is in replay.h. */
struct replay {
	int area, file;
	uint64_t first, nr_pages, space_pages; /* in the file's space, and that as a whole */
	int64_t begin, length; /* the part of the file's time */
	int loop;
	double time_scale, size_scale; /* the area's time, and its pages, for one of the file's */
	uint64_t table, nr_windows; /* of the file's level 0 */
	struct turn *turns;
	int nr_turns;
	struct schedule *schedule;
};

struct process {
	char name[NAME_MAX_LEN + 1];
	int late; /* begins with the phase that maps its first area, also after an exit */
};

struct plan {
	uint64_t seed, interval_us, duration_us, report_us;
	uint64_t round_us; /* of touches, and between two flushes of the TLB */
	int tlb_flush; /* 2: only where the processor is emulated */
	int huge_pages, repeat;
	int announce; /* areas that are mapped and unmapped are reported at once */
	char dir[256];
	struct process *processes;
	struct area *areas;
	struct phase *phases;
	struct file *files;
	struct replay *replays;
	int nr_processes, nr_areas, nr_phases, nr_files, nr_replays;
};

/* 0, or -1 with one line on stderr. */
int plan_read(FILE *file, struct plan *plan);

/* replay_file.c: open the plan's trace files, checked for what the plan replays of them; 0, or -1 with one line. */
int open_files(struct plan *plan);

#endif
