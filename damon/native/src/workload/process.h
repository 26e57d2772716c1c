/* SPDX-License-Identifier: GPL-2.0-only */
/* One process of a workload while it runs. */
#ifndef PYDAMON_PROCESS_H
#define PYDAMON_PROCESS_H

#include <signal.h>
#include <sys/types.h>

#include "plan.h"

struct state {
	struct plan *plan;
	int index; /* of the process */
	uint64_t began_us, phase_began_us, next_report_us;
	uint64_t reported_touches, reported_us;
	uint64_t rnd;
	/* Of traces: touches that were dropped; the most that others were late since the last report. */
	uint64_t dropped, late_us;
	/* The clock when it was last looked at for them, the interval then, and touches until it is again. */
	uint64_t now;
	uint32_t interval, pace;
	struct phase *phase;
	uint64_t phase_number; /* of those that it has entered, from 1 */
	int changed; /* areas were mapped or unmapped since the last report */
	uint8_t *flush_area; /* NULL: no flushing */
	uint64_t flushed_us;
};

#define CATCH_UP_US 20000 /* touches that are later than this are dropped, and counted */
#define NEVER UINT64_MAX
#define IDLE_US 20000 /* between two looks of a process without memory */
#define CLOCK_EVERY 128 /* touches between two looks at the clock */

extern volatile sig_atomic_t stop_asked, report_asked;

uint64_t now_us(void);

/* The sampling interval, from 1. */
static inline uint32_t interval_of(const struct state *s, uint64_t now)
{
	return (uint32_t)((now - s->began_us) / s->plan->interval_us) + 1;
}

/* At the clock, for touches of traces. */
static inline void look(struct state *s)
{
	s->now = now_us();
	s->interval = interval_of(s, s->now);
	s->pace = CLOCK_EVERY - 1;
}

/*
 * Anonymous memory that is read before it is written has the one page of zeros of the whole machine: no frame of its
 * own, no place on a list, nothing that a monitor sees. Programs write first, so a first touch does, too.
 */
static inline void touch_page(struct area *area, uint64_t page, int writes, uint32_t interval)
{
	volatile uint8_t *byte = area->base + page * PAGE + 64;
	int first = area->absent && !area->last_interval[page];

	area->absent -= (uint64_t)first;
	if (writes)
		(*byte)++;
	else if (first && !area->is_file)
		*byte = 0;
	else
		(void)*byte;
	if (area->last_interval[page] != interval) {
		area->last_interval[page] = interval;
		area->pairs++;
	}
	area->touches++;
}

/* When a process begins: with the plan, together with others through two pipes, or late with one of its phases. */
struct birth {
	int ready_fd, start_fd;
	struct phase *phase; /* NULL: with the plan */
	uint64_t began_us, phase_began_us; /* of the plan, of the phase */
};

/* Perform process number index of the plan until its end, a signal or its exit event; the exit code. Signals are
 * blocked when it is called. */
int process_run(struct plan *plan, int index, pid_t parent, const struct birth *birth);

/* area.c: what the program needs itself stays in memory, if it may lock it: its faults are not the workload's. */
void keep_in_memory(const void *start, size_t size);
extern size_t unlocked; /* bytes that it may not lock */
/* 0, or -1 with one line on stderr. */
int map_area(struct state *s, struct area *a);
void unmap_area(struct area *a);
/* Count the time up to now in which the process's areas are mapped. */
void count_time(struct state *s);
int set_up_flush(struct state *s);
void flush_tlb(struct state *s, uint64_t now);

/* touch.c */
int set_up_access(struct state *s, struct access *a);
/* Touch what is due by now. */
void perform(struct state *s, uint64_t now);
/* Touch what is due by the end of the phase. What cannot be made any more is dropped. */
void finish_phase(struct state *s, uint64_t end);

/* replay.c: 0, or -1 with one line on stderr. */
int set_up_replays(struct state *s);
/* Map, unmap and touch what traces have due by a time; the same. */
int perform_replays(struct state *s, uint64_t by);
/* When one of the process's traces maps or unmaps an area next. */
uint64_t next_turn_of_all(const struct state *s);

/* report.c: before any process begins, 0 or -1 with one line on stderr; a process's line. */
int set_up_reports(void);
void report(struct state *s, const char *event);

#endif
