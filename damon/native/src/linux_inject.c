// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the kernel takes from a process itself only, advice and userfaultfd(2): one of its threads is stopped, makes the
 * system call, and goes on as if nothing had been. Registers, signal mask and an interrupted system call are as before;
 * signals wait meanwhile, and a stop of the process holds it again when we let go. A process of its own does it, which
 * shares our memory and goes on when we are killed: it ends what it has begun. How one call is made is
 * the processor's part: linux_inject_x86_64.c, linux_inject_aarch64.c.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "linux.h"
#include "linux_inject.h"

#ifdef SYSCALL_CODE

#define VDSO_MAX (1 << 16)
#define ERRAND_STACK (1 << 16)

/* One line of a file of a thread after its tag; "" if there is none. */
static void field(int task, int tid, const char *name, const char *tag, char *out, size_t size)
{
	char path[32], text[4096], *at;
	ssize_t got;
	int fd;

	*out = 0;
	snprintf(path, sizeof(path), "%d/%s", tid, name);
	fd = openat(task, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	got = read(fd, text, sizeof(text) - 1);
	close(fd);
	text[got > 0 ? got : 0] = 0;
	at = strstr(text, tag);
	if (at)
		snprintf(out, size, "%.*s", (int)strcspn(at + strlen(tag), "\n"), at + strlen(tag));
}

/*
 * A thread that runs or sleeps and can be interrupted; one in another state might not stop for long. Under seccomp the
 * call could end the process. A thread id, or a negative errno.
 */
static int pick_thread(int directory)
{
	int task = openat(directory, "task", O_RDONLY | O_DIRECTORY | O_CLOEXEC), found = -EAGAIN;
	DIR *dir = task >= 0 ? fdopendir(task) : NULL;
	struct dirent *entry;

	if (!dir) {
		if (task >= 0)
			close(task);
		return -ESRCH;
	}
	while (found < 0 && (entry = readdir(dir))) {
		int tid = atoi(entry->d_name);
		char state[64], seccomp[16];

		if (tid <= 0)
			continue;
		field(task, tid, "status", "State:\t", state, sizeof(state));
		field(task, tid, "status", "Seccomp:\t", seccomp, sizeof(seccomp));
		if (*seccomp && *seccomp != '0')
			found = -EPERM;
		else if (*state == 'R' || *state == 'S')
			found = tid;
	}
	closedir(dir);
	return found;
}

/* Where the process has a system call instruction: in its vDSO. 0: nowhere. */
static uint64_t find_syscall(int directory, int pid)
{
	char *line = NULL;
	uint64_t found = 0;
	size_t size = 0;
	int fd = openat(directory, "maps", O_RDONLY | O_CLOEXEC);
	FILE *maps = fd >= 0 ? fdopen(fd, "r") : NULL;

	if (!maps) {
		if (fd >= 0)
			close(fd);
		return 0;
	}
	while (!found && getline(&line, &size, maps) > 0) {
		unsigned long start, end;
		static const char call[] = SYSCALL_CODE;
		char *code, *at;

		if (!strstr(line, "[vdso]") || sscanf(line, "%lx-%lx", &start, &end) != 2 || end - start > VDSO_MAX)
			continue;
		code = malloc(end - start);
		struct iovec here = { code, end - start }, there = { (void *)start, end - start };
		if (code && process_vm_readv(pid, &here, 1, &there, 1, 0) == (ssize_t)(end - start)) {
			at = memmem(code, end - start, call, sizeof(call));
			while (at && (at - code) % SYSCALL_ALIGN)
				at = memmem(at + 1, end - start - (size_t)(at + 1 - code), call, sizeof(call));
			found = at ? start + (uint64_t)(at - code) : 0;
		}
		free(code);
	}
	free(line);
	fclose(maps);
	return found;
}

/* The next stop of the thread; its signal and event, or a negative errno when it has ended. */
int inject_wait_stop(int tid)
{
	int status;

	while (waitpid(tid, &status, __WALL) < 0)
		if (errno != EINTR)
			return -errno;
	return WIFSTOPPED(status) ? status >> 8 : -ESRCH;
}

/*
 * Let the stopped thread go on until it stops for ptrace's own sake. All signals are masked but SIGSTOP, which cannot
 * be: it is handed on at once. The group stop that it begins holds the other threads, and this one as soon as we let go
 * of it, unless SIGCONT ends it before; so the kernel keeps the order of both.
 */
int inject_go_on(int tid, int request, int wanted)
{
	intptr_t signal = 0;

	for (;;) {
		int stop;

		if (ptrace(request, tid, NULL, (void *)signal))
			return -errno;
		stop = inject_wait_stop(tid);
		if (stop < 0)
			return stop;
		if (stop >> 8 == PTRACE_EVENT_STOP ? wanted == SIGTRAP : stop == wanted)
			return 0;
		/* Another stop of ptrace's: ours to pass over. Else a signal on its way to the thread. */
		signal = stop >> 8 || stop == SYSCALL_STOP ? 0 : stop;
	}
}

struct errand {
	int directory, tid, result, pidfd;
	uint64_t at;
	const uint64_t *args;
	int (*work)(const struct errand *errand);
};

static int advise(const struct errand *errand)
{
	return inject_call(errand->tid, errand->at, SYS_madvise, errand->args);
}

/* Is it one? A thread may have files of its own, and pidfd_getfd(2) takes the first thread's. */
static int is_userfaultfd(int fd)
{
	static const char name[] = "anon_inode:[userfaultfd]";
	char path[32], target[sizeof(name)];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return readlink(path, target, sizeof(target)) == sizeof(name) - 1 && !memcmp(target, name, sizeof(name) - 1);
}

/* The descriptor that the process makes is ours alone in the end. */
static int take_userfaultfd(const struct errand *errand)
{
	int there = inject_call(errand->tid, errand->at, SYS_userfaultfd, errand->args), here;
	uint64_t args[3] = { 0 };

	if (there < 0)
		return there;
	here = (int)syscall(SYS_pidfd_getfd, errand->pidfd, there, 0);
	if (here < 0)
		here = -errno;
	args[0] = (uint64_t)there;
	inject_call(errand->tid, errand->at, SYS_close, args);
	if (here >= 0 && !is_userfaultfd(here)) {
		close(here);
		here = -EPERM;
	}
	return here;
}

static int seize_and_call(const struct errand *errand)
{
	int tid = errand->tid, stop, result, signal = 0;

	if (ptrace(PTRACE_SEIZE, tid, NULL, PTRACE_O_TRACESYSGOOD))
		return -errno;
	if (ptrace(PTRACE_INTERRUPT, tid, NULL, NULL))
		return -errno;
	stop = inject_wait_stop(tid);
	if (stop < 0)
		return stop;
	if (stop >> 8 != PTRACE_EVENT_STOP) {
		/* A signal came first; the thread gets it when we leave. */
		signal = stop & 0xff;
		result = -EAGAIN;
	} else if (faccessat(errand->directory, "stat", F_OK, 0)) {
		result = -ESRCH;
	} else {
		result = errand->work(errand);
	}
	ptrace(PTRACE_DETACH, tid, NULL, (void *)(intptr_t)signal);
	return result;
}

/* In the errand's process. No lock may be taken here, nor memory allocated: who holds it may have been killed. */
static int run_errand(void *errand)
{
	((struct errand *)errand)->result = seize_and_call(errand);
	return 0;
}

static int try_once(int pid, struct errand errand)
{
	sigset_t all, before;
	char *stack;
	int runner;

	errand.at = find_syscall(errand.directory, pid);
	errand.tid = pick_thread(errand.directory);
	if (errand.tid < 0)
		return errand.tid;
	if (!errand.at)
		return -EOPNOTSUPP;
	stack = mmap(NULL, ERRAND_STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
	if (stack == MAP_FAILED)
		return -errno;
	/* Our handlers are not for it. It tells nobody of its end but us, who wait for it. */
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &before);
	runner = clone(run_errand, stack + ERRAND_STACK, CLONE_VM | CLONE_FILES | CLONE_VFORK, &errand);
	if (runner < 0)
		errand.result = -errno;
	else
		while (waitpid(runner, NULL, __WALL) < 0 && errno == EINTR)
			;
	sigprocmask(SIG_SETMASK, &before, NULL);
	munmap(stack, ERRAND_STACK);
	return errand.result;
}

static int try_some_times(int pid, struct errand errand)
{
	int result = -EAGAIN;

	for (int tries = 0; tries < 8 && result == -EAGAIN; tries++)
		result = try_once(pid, errand);
	return result;
}

/*
 * madvise(2) by the process itself. directory: its open folder in /proc, which says that pid is still its number. Waits
 * for the thread to stop, which takes as long as what it does in the kernel right now. 0, or a negative errno: EAGAIN
 * no thread can be stopped now, EPERM it is traced already, confined by seccomp, or a 32-bit program.
 */
EXPORT int linux_madvise_inside(int directory, int pid, uint64_t start, uint64_t length, int advice)
{
	const uint64_t args[] = { start, length, (uint64_t)advice };

	return try_some_times(pid, (struct errand){ .directory = directory, .args = args, .work = advise });
}

/* userfaultfd(2) by the process itself, with these flags; the descriptor, here, or a negative errno as above. */
EXPORT int linux_userfaultfd_inside(int directory, int pid, int pidfd, int flags)
{
	const uint64_t args[] = { (uint64_t)flags, 0, 0 };

	return try_some_times(
		pid, (struct errand){ .directory = directory, .pidfd = pidfd, .args = args, .work = take_userfaultfd });
}

#else

EXPORT int linux_madvise_inside(int directory, int pid, uint64_t start, uint64_t length, int advice)
{
	(void)directory, (void)pid, (void)start, (void)length, (void)advice;
	return -EOPNOTSUPP;
}

EXPORT int linux_userfaultfd_inside(int directory, int pid, int pidfd, int flags)
{
	(void)directory, (void)pid, (void)pidfd, (void)flags;
	return -EOPNOTSUPP;
}

#endif
