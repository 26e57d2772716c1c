/* SPDX-License-Identifier: GPL-2.0-only */
/* The compiled workload: what damon/workload/plan.py writes and the program performs. */
#ifndef PYDAMON_PLAN_H
#define PYDAMON_PLAN_H

#include <stdint.h>
#include <stdio.h>

#define PAGE 4096ull
#define NAME_MAX_LEN 64
#define MAX_ROUND_US 10000 /* touches later than 20 ms are dropped */

enum pattern { SEQUENTIAL, STRIDED, RANDOM, ZIPF };
enum event_kind { EV_MMAP, EV_MUNMAP, EV_EXIT };

struct area {
	char name[NAME_MAX_LEN + 1];
	int process, is_file, populate, mapped;
	uint64_t size;
	/* In its process only. */
	uint8_t *base; /* NULL: not mapped */
	uint64_t touches;
	uint64_t pairs, reported_pairs; /* (page, sampling interval) pairs with a touch; until the last report */
	uint64_t us, reported_us; /* time that the area was mapped and measured; until the last report */
	uint64_t counted_us; /* clock up to which us is counted */
	uint32_t *last_interval; /* of each page */
};

struct access {
	int area;
	enum pattern pattern;
	double rate, write_share, skew;
	uint64_t stride;
	/* State. */
	uint64_t position, done, dropped;
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

struct process {
	char name[NAME_MAX_LEN + 1];
	int late; /* begins with the phase that maps its first area, also after an exit */
};

struct plan {
	uint64_t seed, interval_us, duration_us, report_us;
	uint64_t round_us; /* of touches, and between two flushes of the TLB */
	int tlb_flush; /* 2: only where the processor is emulated */
	int huge_pages, repeat;
	char dir[256];
	struct process *processes;
	struct area *areas;
	struct phase *phases;
	int nr_processes, nr_areas, nr_phases;
};

/* 0, or -1 with one line on stderr. */
int plan_read(FILE *file, struct plan *plan);

#endif
