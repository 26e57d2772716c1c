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

/* Write what has changed in what the processes of `root` map since the last look. */
void look(pid_t root, const char *comm);

#endif
