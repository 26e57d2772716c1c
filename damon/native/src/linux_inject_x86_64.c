// SPDX-License-Identifier: GPL-2.0-only
/* One system call by another process's thread, on x86-64. */
#ifdef __x86_64__

#define _GNU_SOURCE
#include <errno.h>
#include <sys/user.h>

#include "linux_inject.h"

#define USER_CODE 0x33 /* code segment of 64-bit programs */

int inject_call(int tid, uint64_t at, long number, const uint64_t *args)
{
	struct user_regs_struct before, regs;
	uint64_t mask, all = ~0ull;
	int result;

	if (ptrace(PTRACE_GETREGS, tid, NULL, &before) || before.cs != USER_CODE)
		return -EPERM;
	if (ptrace(GETSIGMASK, tid, sizeof(mask), &mask) || ptrace(SETSIGMASK, tid, sizeof(all), &all))
		return -EPERM;
	regs = before;
	regs.rip = at;
	regs.rax = (uint64_t)number;
	regs.orig_rax = ~0ull; /* nothing to restart now */
	regs.rdi = args[0];
	regs.rsi = args[1];
	regs.rdx = args[2];
	result = ptrace(PTRACE_SETREGS, tid, NULL, &regs) ? -errno : 0;
	/* Into the call and out of it. */
	for (int i = 0; i < 2 && !result; i++)
		result = inject_go_on(tid, PTRACE_SYSCALL, SYSCALL_STOP);
	if (!result)
		result = ptrace(PTRACE_GETREGS, tid, NULL, &regs) ? -errno : (int)(int64_t)regs.rax;
	/* Back to the kind of stop that it came from: there the kernel restarts an interrupted call by itself. */
	if (result != -ESRCH && !ptrace(PTRACE_SETREGS, tid, NULL, &before) &&
	    !ptrace(PTRACE_INTERRUPT, tid, NULL, NULL))
		inject_go_on(tid, PTRACE_CONT, SIGTRAP);
	ptrace(SETSIGMASK, tid, sizeof(mask), &mask);
	return result;
}

#endif
