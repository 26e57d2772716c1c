// SPDX-License-Identifier: GPL-2.0-only
/* Shared by the parts of truth-agent. */
#ifndef VMTEST_TRUTH_AGENT_H
#define VMTEST_TRUTH_AGENT_H

#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#define PAGE 4096ul

extern FILE *maps_out;

uint64_t now_ns(void);

/* This process's own pagemap, for own_frame; 0, or -1. */
int open_own(void);

/* The frame behind an address of this process, or 0. */
uint64_t own_frame(uintptr_t at);

/* A line of /proc/PID/stat, as far as it matters. */
struct stat_line {
	pid_t pid, parent;
	uint64_t started, stack;
	char name[64];
};

/* What is in a file of /proc/PID, as a string that the next call overwrites; NULL: the process is gone. */
char *read_text(pid_t pid, const char *name);

/* Those that began after this one: its descendants are among them. (A guest does not live until numbers are reused.) */
size_t later_processes(struct stat_line *stats, size_t most);

/* Is it the command, or one that this process has by way of its descendants? */
int belongs(const struct stat_line *stats, size_t nr, size_t at, pid_t root);

/* Write what has changed in what the processes of `root` map since the last look. */
void look(pid_t root, const char *comm);

#endif
