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
	struct phase *phase;
	uint8_t *flush_area; /* NULL: no flushing */
	uint64_t flushed_us;
};

extern volatile sig_atomic_t stop_asked, report_asked;

uint64_t now_us(void);

/* When a process begins: with the plan, together with others through two pipes, or late with one of its phases. */
struct birth {
	int ready_fd, start_fd;
	struct phase *phase; /* NULL: with the plan */
	uint64_t began_us, phase_began_us; /* of the plan, of the phase */
};

/* Perform process number index of the plan until its end, a signal or its exit event; the exit code. Signals are
 * blocked when it is called. */
int process_run(struct plan *plan, int index, pid_t parent, const struct birth *birth);

/* area.c: 0, or -1 with one line on stderr. */
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

/* report.c */
void report(struct state *s, const char *event);

#endif
