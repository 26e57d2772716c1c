// SPDX-License-Identifier: GPL-2.0-only
/*
 * Loaded before the C library: time passes when somebody looks at it or sleeps, and does not depend on the machine.
 * With VIRTUAL_STOP_MS a process stops itself each time that so much has passed, so that a test can look at it. With
 * VIRTUAL_SLEEPS each sleep is a byte more of the file PREFIX.PID.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define LOOK_NS 1000	/* what a look at the clock takes */

static uint64_t now_ns = 1000000000, stop_ns;

static void pass(uint64_t ns)
{
	const char *every = getenv("VIRTUAL_STOP_MS");
	uint64_t step = every ? strtoull(every, NULL, 10) * 1000000 : 0;

	now_ns += ns;
	if (!step)
		return;
	if (!stop_ns)
		stop_ns = 1000000000 + step;
	while (now_ns >= stop_ns) {
		stop_ns += step;
		raise(SIGSTOP);
	}
}

int clock_gettime(clockid_t which, struct timespec *ts)
{
	(void)which;
	pass(LOOK_NS);
	ts->tv_sec = (time_t)(now_ns / 1000000000);
	ts->tv_nsec = (long)(now_ns % 1000000000);
	return 0;
}

static void note_sleep(const char *prefix)
{
	char name[4096];
	FILE *file;

	snprintf(name, sizeof(name), "%s.%d", prefix, (int)getpid());
	file = fopen(name, "a");
	if (file) {
		putc('.', file);
		fclose(file);
	}
}

int nanosleep(const struct timespec *ts, struct timespec *left)
{
	const char *prefix = getenv("VIRTUAL_SLEEPS");

	(void)left;
	if (prefix)
		note_sleep(prefix);
	pass((uint64_t)ts->tv_sec * 1000000000 + (uint64_t)ts->tv_nsec);
	return 0;
}
