/* SPDX-License-Identifier: GPL-2.0-only */
/* Between linux_inject.c and the processors' parts of it. */
#ifndef PYDAMON_LINUX_INJECT_H
#define PYDAMON_LINUX_INJECT_H

#include <signal.h>
#include <stdint.h>
#include <sys/ptrace.h>

/* The instruction that makes a system call. */
#if defined(__x86_64__)
#define SYSCALL_CODE {0x0f, 0x05}
#define SYSCALL_ALIGN 1
#elif defined(__aarch64__)
#define SYSCALL_CODE {0x01, 0x00, 0x00, (char)0xd4}
#define SYSCALL_ALIGN 4
#endif

#define SYSCALL_STOP (SIGTRAP | 0x80)
/* linux/ptrace.h, which cannot be had beside sys/ptrace.h. */
#define SETSIGMASK 0x420b
#define GETSIGMASK 0x420a

/* The next stop of the thread; its signal and event, or a negative errno when it has ended. */
int inject_wait_stop(int tid);

/*
 * Let the stopped thread go on until the stop that is wanted: SYSCALL_STOP, or SIGTRAP for one as PTRACE_INTERRUPT
 * makes. Signals that it must not see yet are masked; none is lost.
 */
int inject_go_on(int tid, int request, int wanted);

/*
 * The thread has stopped in its own time: have it make one call with three arguments. "at": where its process has the
 * instruction for it. 0 or a negative errno of the call.
 */
int inject_call(int tid, uint64_t at, long number, const uint64_t *args);

#endif
