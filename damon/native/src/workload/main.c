// SPDX-License-Identifier: GPL-2.0-only
/* damon-workload: performs a compiled plan (standard input) for real, one process of ours a process of the plan. */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
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

static int reap(void)
{
	int code = 0, left = nr_children;

	while (left) {
		int status;
		pid_t pid = waitpid(-1, &status, 0);

		if (pid < 0 && errno != EINTR)
			break;
		if (pid <= 0)
			continue;
		left--;
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
	return code;
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

/*
 * With --check, read the plan and say whether it can be used. Long: pipes and children from their start to their end.
 */
int main(int argc, char **argv)
{
	struct plan plan;
	sigset_t blocked;
	pid_t self = getpid();
	int ready[2], start[2], failed = 0;

	if (plan_read(stdin, &plan))
		return 2;
	if (argc == 2 && !strcmp(argv[1], "--check"))
		return 0;
	children = calloc((size_t)plan.nr_processes, sizeof(*children));
	if (!children || pipe(ready) || pipe(start)) {
		perror("damon-workload");
		return 1;
	}
	catch_signals(&blocked);
	for (int i = 0; i < plan.nr_processes; i++) {
		pid_t pid = fork();

		if (!pid) {
			close(ready[0]);
			close(start[1]);
			_exit(process_run(&plan, i, self, ready[1], start[0]));
		}
		if (pid < 0) {
			perror("damon-workload: fork");
			failed = 1;
			break;
		}
		children[nr_children++] = pid;
	}
	sigprocmask(SIG_UNBLOCK, &blocked, NULL);
	close(ready[1]);
	close(start[0]);
	if (failed || !all_ready(ready[0])) {
		failed = 1;
		pass_on(SIGTERM);
	}
	close(start[1]);
	failed |= reap();
	free(children);
	return failed;
}
