/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * An area that replays a trace. A window's time is cut into slots, which have the length of a round or more. In a
 * window, each row makes steps: page after page, and again from the first, as often as a page is touched. A row waits
 * in the list of the slot of its next step, so a round costs what it touches, not what the window has.
 */
#ifndef PYDAMON_REPLAY_H
#define PYDAMON_REPLAY_H

#include "../trace.h"
#include "process.h"

#define NO_ROW UINT32_MAX

struct schedule {
	int64_t round; /* of the windows */
	int64_t turn_round;
	int turn;
	uint64_t window; /* the next one, or the one that is being performed */
	int begun; /* the round: window is its first one or a later one */
	int inside; /* a window */
	struct trace_window w;
	const struct trace_row *rows; /* those of the area */
	uint32_t nr_rows, room, slot, nr_slots;
	uint32_t *next, *first; /* rows that wait: of each row, and of each slot */
	double *done; /* steps of each row */
	uint64_t key; /* of what is random in the window */
};

/* A row as the area has it. */
struct part {
	uint64_t page, nr;
	double touches, steps, phase; /* of each page; of the row; of its first step, in steps */
	uint32_t write; /* in 255ths */
};

/* replay_step.c */
uint64_t replay_mix(uint64_t v);
/* Row number n, or 0 if nothing of it is in the area. */
int replay_part(const struct replay *r, const struct area *a, uint32_t n, struct part *part);
/* Make the steps of a row up to a number of them; due: when the first one was. */
void replay_steps(struct state *s, const struct replay *r, uint32_t n, const struct part *part, double upto,
		  uint64_t due);

#endif
