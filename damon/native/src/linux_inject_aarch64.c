// SPDX-License-Identifier: GPL-2.0-only
/*
 * One system call by another process's thread, on arm64.
 *
 * When a thread stops in an interrupted call, arm64 has set it back to the instruction already, and only afterwards
 * decides how the call is taken up again. So the call that is under way is let in again, becomes ours at its entry, and
 * the thread is set back to the instruction once more with the number and arguments that it came with. In all other
 * cases the instruction in the vDSO serves.
 */
#ifdef __aarch64__

#define _GNU_SOURCE
#include <asm/ptrace.h>
#include <elf.h>
#include <errno.h>
#include <string.h>
#include <sys/uio.h>

#include "linux_inject.h"

#define NO_SYSCALL (-1)

/* A negative errno, also for a 32-bit program, whose registers are others. */
static int get_regs(int tid, struct user_pt_regs *regs)
{
	struct iovec place = { regs, sizeof(*regs) };

	if (ptrace(PTRACE_GETREGSET, tid, NT_PRSTATUS, &place))
		return -errno;
	return place.iov_len == sizeof(*regs) ? 0 : -EPERM;
}

static int set_regs(int tid, struct user_pt_regs *regs)
{
	struct iovec place = { regs, sizeof(*regs) };

	return ptrace(PTRACE_SETREGSET, tid, NT_PRSTATUS, &place) ? -errno : 0;
}

static int set_number(int tid, int number)
{
	struct iovec place = { &number, sizeof(number) };

	return ptrace(PTRACE_SETREGSET, tid, NT_ARM_SYSTEM_CALL, &place) ? -errno : 0;
}

static int is_syscall(int tid, uint64_t at)
{
	static const char call[] = SYSCALL_CODE;
	char code[sizeof(call)];
	struct iovec here = { code, sizeof(code) }, there = { (void *)at, sizeof(code) };

	return process_vm_readv(tid, &here, 1, &there, 1, 0) == sizeof(code) && !memcmp(code, call, sizeof(code));
}

/* Long: each step needs the stop that the one before left the thread in, and the end undoes them all. */
int inject_call(int tid, uint64_t at, long number, const uint64_t *args)
{
	struct user_pt_regs before, regs;
	uint64_t mask, all = ~0ull;
	int result = get_regs(tid, &before), again;

	if (result)
		return result;
	if (ptrace(GETSIGMASK, tid, sizeof(mask), &mask) || ptrace(SETSIGMASK, tid, sizeof(all), &all))
		return -EPERM;
	again = is_syscall(tid, before.pc);
	regs = before;
	if (!again) {
		regs.pc = at;
		regs.regs[8] = (uint64_t)number;
		memcpy(regs.regs, args, 3 * sizeof(*args));
		result = set_regs(tid, &regs);
	}
	if (!result)
		result = inject_go_on(tid, PTRACE_SYSCALL, SYSCALL_STOP);
	if (!result && again) {
		/* What it enters now is what it is to enter again: perhaps restart_syscall instead of its own call. */
		result = get_regs(tid, &regs);
		if (!result) {
			regs.regs[7] = before.regs[7]; /* says which stop this is */
			regs.pc = before.pc;
			before = regs;
			memcpy(regs.regs, args, 3 * sizeof(*args));
			regs.regs[8] = (uint64_t)number;
			result = set_regs(tid, &regs);
		}
		if (!result)
			result = set_number(tid, (int)number);
	}
	if (!result)
		result = inject_go_on(tid, PTRACE_SYSCALL, SYSCALL_STOP);
	if (!result) {
		result = get_regs(tid, &regs);
		if (!result)
			result = (int)(int64_t)regs.regs[0];
		/* Nothing to take up again: whatever is in its first register is its own. */
		set_number(tid, NO_SYSCALL);
	}
	if (result != -ESRCH)
		set_regs(tid, &before);
	ptrace(SETSIGMASK, tid, sizeof(mask), &mask);
	return result;
}

#endif
