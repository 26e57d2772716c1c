// SPDX-License-Identifier: GPL-2.0-only
/* damon-workload: performs a compiled plan (standard input) for real, one process of ours a process of the plan. */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "process.h"

static pid_t *children;
static int nr_children;
static volatile sig_atomic_t asked; /* to stop */

static void pass_on(int number)
{
	asked |= number != SIGUSR1;
	for (int i = 0; i < nr_children; i++)
		if (children[i] > 0)
			kill(children[i], number);
}

/* Wait for one byte from each child; 0 when one ended before. */
static int all_ready(int fd)
{
	int ready = 0;
	char byte;

	while (ready < nr_children && !asked) {
		ssize_t n = read(fd, &byte, 1);

		if (n == 0 || (n < 0 && errno != EINTR))
			return 0;
		ready += n == 1;
	}
	return 1;
}

/* Take leave of children that have ended; with flags 0 wait for all of them. 0, or the code of one that failed. */
static int reap(int flags)
{
	int code = 0, status;
	pid_t pid;

	for (;;) {
		pid = waitpid(-1, &status, flags);
		if (pid < 0 && errno == EINTR)
			continue;
		if (pid <= 0)
			return code;
		for (int i = 0; i < nr_children; i++)
			if (children[i] == pid)
				children[i] = 0;
		if (WIFSIGNALED(status)) {
			fprintf(stderr, "damon-workload: process %d was ended by signal %d\n", (int)pid,
				WTERMSIG(status));
			code = 1;
		} else if (WEXITSTATUS(status)) {
			code = WEXITSTATUS(status);
		}
	}
}

/* Room for one more child; signals are blocked. */
static pid_t *new_child(void)
{
	pid_t *more;

	for (int i = 0; i < nr_children; i++)
		if (!children[i])
			return &children[i];
	more = realloc(children, (size_t)(nr_children + 1) * sizeof(*children));
	if (!more)
		return NULL;
	children = more;
	children[nr_children] = 0;
	return &children[nr_children++];
}

/* A process of the plan; signals are blocked. 0, or -1. */
static int begin(struct plan *plan, int index, pid_t self, const struct birth *birth, const int *unused)
{
	pid_t *child = new_child();

	if (!child)
		return -1;
	fflush(NULL);
	*child = fork();
	if (!*child) {
		if (unused) {
			close(unused[0]);
			close(unused[1]);
		}
		_exit(process_run(plan, index, self, birth));
	}
	if (*child > 0)
		return 0;
	perror("damon-workload: fork");
	*child = 0;
	return -1;
}

/* Handlers of the parent; all three signals are blocked until there is somebody to pass them on to. */
static void catch_signals(sigset_t *blocked)
{
	struct sigaction action = { .sa_handler = pass_on };
	const int numbers[] = { SIGTERM, SIGINT, SIGUSR1 };

	sigemptyset(blocked);
	for (int i = 0; i < 3; i++)
		sigaddset(blocked, numbers[i]);
	sigprocmask(SIG_BLOCK, blocked, NULL);
	for (int i = 0; i < 3; i++)
		sigaction(numbers[i], &action, NULL);
}

/* Until the time, a signal, or the output has no reader; children that end meanwhile are reaped. The code as of reap.
 */
static int sleep_until(uint64_t at)
{
	int code = 0;

	for (uint64_t now = now_us(); !asked && now < at; now = now_us()) {
		struct timespec ts = { 0, (long)(at - now < 100000 ? at - now : 100000) * 1000 };
		struct pollfd out = { .fd = STDOUT_FILENO };

		nanosleep(&ts, NULL);
		code |= reap(WNOHANG);
		if (poll(&out, 1, 0) > 0 && out.revents & POLLERR)
			asked = 1;
	}
	return code;
}

/* The late processes that begin with a phase. 0, or 1. */
static int begin_late(struct plan *plan, pid_t self, const struct birth *birth, char *alive)
{
	for (int i = 0; i < birth->phase->nr_events; i++) {
		struct event *e = &birth->phase->events[i];
		int process = e->kind == EV_EXIT ? e->index : plan->areas[e->index].process;

		if (e->kind == EV_EXIT)
			alive[process] = 0;
		if (e->kind != EV_MMAP || alive[process] || !plan->processes[process].late)
			continue;
		alive[process] = 1;
		if (begin(plan, process, self, birth, NULL))
			return 1;
	}
	return 0;
}

/* Phase after phase, as the processes go through them, as long as late ones can begin. 0, or 1. */
static int walk_phases(struct plan *plan, pid_t self, const sigset_t *blocked)
{
	struct birth birth = { .phase = plan->phases, .began_us = now_us() };
	char *alive = calloc((size_t)plan->nr_processes, 1);
	int failed = !alive;

	birth.phase_began_us = birth.began_us;
	while (!failed) {
		failed |= sleep_until(birth.phase_began_us);
		if (asked || (plan->duration_us && birth.phase_began_us - birth.began_us >= plan->duration_us))
			break;
		sigprocmask(SIG_BLOCK, blocked, NULL);
		failed |= !asked && begin_late(plan, self, &birth, alive);
		sigprocmask(SIG_UNBLOCK, blocked, NULL);
		birth.phase_began_us += birth.phase->duration_us;
		if (++birth.phase == plan->phases + plan->nr_phases) {
			if (!plan->repeat)
				break;
			birth.phase = plan->phases;
		}
	}
	free(alive);
	return failed;
}

/*
 * With --check, read the plan and say whether it can be used. Long: pipes and children from their start to their end.
 */
int main(int argc, char **argv)
{
	struct plan plan;
	sigset_t blocked;
	pid_t self = getpid();
	int ready[2], start[2], failed = 0, late = 0;

	if (plan_read(stdin, &plan))
		return 2;
	if (argc == 2 && !strcmp(argv[1], "--check"))
		return 0;
	if (set_up_reports())
		return 1;
	if (pipe(ready) || pipe(start)) {
		perror("damon-workload");
		return 1;
	}
	catch_signals(&blocked);
	for (int i = 0; i < plan.nr_processes && !failed; i++) {
		const struct birth birth = { .ready_fd = ready[1], .start_fd = start[0] };
		const int unused[] = { ready[0], start[1] };

		late |= plan.processes[i].late;
		failed = !plan.processes[i].late && begin(&plan, i, self, &birth, unused);
	}
	sigprocmask(SIG_UNBLOCK, &blocked, NULL);
	close(ready[1]);
	close(start[0]);
	if (failed || !all_ready(ready[0])) {
		failed = 1;
		pass_on(SIGTERM);
	}
	close(start[1]);
	if (late && !failed)
		failed |= walk_phases(&plan, self, &blocked);
	if (failed)
		pass_on(SIGTERM);
	failed |= reap(0);
	free(children);
	return failed;
}
