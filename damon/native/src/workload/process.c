// SPDX-License-Identifier: GPL-2.0-only
/* One process of a workload: its areas, then phase after phase, in rounds. */
#define _GNU_SOURCE
#include <errno.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "process.h"

volatile sig_atomic_t stop_asked, report_asked;

static void on_stop(int number)
{
	(void)number;
	stop_asked = 1;
}

static void on_report(int number)
{
	(void)number;
	report_asked = 1;
}

uint64_t now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

/*
 * Enter the phase: its events, then its accesses. 1: this process exits here, -1: failed. What goes in the phase that a
 * process is born in was its predecessor's.
 */
static int enter_phase(struct state *s, struct phase *phase, uint64_t at, int born)
{
	count_time(s);
	for (int i = 0; i < phase->nr_events; i++) {
		struct event *e = &phase->events[i];

		if (e->kind == EV_EXIT) {
			if (e->index == s->index && !born)
				return 1;
			continue;
		}
		if (s->plan->areas[e->index].process != s->index || (born && e->kind == EV_MUNMAP))
			continue;
		if (e->kind == EV_MUNMAP)
			unmap_area(&s->plan->areas[e->index]);
		else if (map_area(s, &s->plan->areas[e->index]))
			return -1;
		s->changed = 1;
	}
	s->phase = phase;
	s->phase_number++;
	s->phase_began_us = at;
	for (int i = 0; i < phase->nr_accesses; i++)
		if (set_up_access(s, &phase->accesses[i]))
			return -1;
	return 0;
}

static int next_phase(struct state *s, uint64_t now)
{
	struct phase *last = &s->plan->phases[s->plan->nr_phases - 1];
	uint64_t end = s->phase_began_us + s->phase->duration_us;

	if (now < end || (s->phase == last && !s->plan->repeat))
		return 0;
	finish_phase(s, end);
	return enter_phase(s, s->phase == last ? s->plan->phases : s->phase + 1, end, 0);
}

/*
 * When the next round begins. A process without any memory has none to perform until something is mapped: it would only
 * take time from the others.
 */
static uint64_t next_round(const struct state *s, uint64_t tick, uint64_t now)
{
	uint64_t ends[] = { now + IDLE_US, s->phase_began_us + s->phase->duration_us,
			    s->plan->duration_us ? s->began_us + s->plan->duration_us : NEVER,
			    s->plan->report_us ? s->next_report_us : NEVER, NEVER };
	uint64_t first = NEVER;

	for (int i = 0; i < s->plan->nr_areas; i++)
		if (s->plan->areas[i].process == s->index && s->plan->areas[i].base)
			return tick;
	ends[4] = next_turn_of_all(s);
	for (int i = 0; i < 5; i++)
		if (ends[i] > now && ends[i] < first)
			first = ends[i];
	return first > tick ? first : tick;
}

/* The exit code. */
static int loop(struct state *s)
{
	uint64_t tick = s->began_us;

	while (!stop_asked) {
		uint64_t now = now_us();
		int end = next_phase(s, now);

		if (end)
			return end < 0;
		if (s->plan->duration_us && now - s->began_us >= s->plan->duration_us)
			return perform_replays(s, s->began_us + s->plan->duration_us - 1) ? 1 : 0;
		flush_tlb(s, now);
		perform(s, now);
		if (perform_replays(s, now_us()))
			return 1;
		now = now_us();
		if (report_asked || (s->plan->report_us && now >= s->next_report_us)) {
			report_asked = 0;
			s->next_report_us = now + s->plan->report_us;
			report(s, "report");
		} else if (s->changed && s->plan->announce) {
			report(s, "areas");
		}
		now = now_us();
		tick = next_round(s, tick + s->plan->round_us, now);
		if (now < tick) {
			struct timespec ts = { 0, (long)(tick - now) * 1000 };

			nanosleep(&ts, NULL);
		} else {
			tick = now;
		}
	}
	return 0;
}

static void catch_signals(void)
{
	struct sigaction stop = { .sa_handler = on_stop }, tell = { .sa_handler = on_report };
	sigset_t none;

	sigaction(SIGTERM, &stop, NULL);
	sigaction(SIGINT, &stop, NULL);
	sigaction(SIGUSR1, &tell, NULL);
	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/* All processes begin together: say ready, wait for the parent to close the other pipe. */
static int wait_for_start(int ready_fd, int start_fd)
{
	char byte = 0;

	if (write(ready_fd, &byte, 1) != 1)
		return -1;
	close(ready_fd);
	while (read(start_fd, &byte, 1) < 0 && errno == EINTR)
		;
	close(start_fd);
	return 0;
}

/* Everything that is there before the first phase; 0, or -1. */
static int set_up(struct state *s, const struct birth *birth)
{
	struct plan *plan = s->plan;

	if (set_up_flush(s) || set_up_replays(s))
		return -1;
	for (int i = 0; i < plan->nr_areas && !birth->phase; i++)
		if (plan->areas[i].process == s->index && plan->areas[i].mapped && map_area(s, &plan->areas[i]))
			return -1;
	if (!birth->phase && wait_for_start(birth->ready_fd, birth->start_fd))
		return -1;
	s->reported_us = now_us();
	s->began_us = birth->phase ? birth->began_us : s->reported_us;
	for (int i = 0; i < plan->nr_areas; i++)
		plan->areas[i].counted_us = s->reported_us;
	s->next_report_us = s->reported_us + plan->report_us;
	return 0;
}

int process_run(struct plan *plan, int index, pid_t parent, const struct birth *birth)
{
	struct state s = { .plan = plan, .index = index, .rnd = plan->seed * 1000003 + (uint64_t)index };
	int code;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		return 1;
	catch_signals();
	if (set_up(&s, birth))
		return 1;
	if (birth->phase) {
		s.rnd += birth->phase_began_us - birth->began_us;
		code = enter_phase(&s, birth->phase, birth->phase_began_us, 1);
		report(&s, "ready");
	} else {
		report(&s, "ready");
		code = enter_phase(&s, plan->phases, s.began_us, 0);
	}
	code = code ? code < 0 : loop(&s);
	report(&s, "end");
	return code;
}
