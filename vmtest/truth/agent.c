// SPDX-License-Identifier: GPL-2.0-only
/*
 * truth-agent FILE LOOK_MS COMM WHEN COMMAND ...: runs the command, and writes to FILE (a FIFO) now and then what its
 * processes map, as lines (docs/reference/truth-files.md). COMM: only processes of that name; "-": all of the
 * command's. WHEN: "now", or "signal": recording begins with SIGUSR1.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "agent.h"
#include "mark.h"

#define FIRST_NS 10000000
#define SHARE 9 /* looking takes a tenth of the time, unless it were less often than every MOST-th time then */
#define MOST 5

FILE *maps_out;
static sigset_t signals; /* that wake it */
static int begin_asked;
static pid_t child;
static unsigned char *code;

uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

/*
 * Sleep until then, or until a signal comes. To wake without need would not be idle for the guest: on an emulated
 * processor each switch to another process flushes the TLB.
 */
static void wait_until(uint64_t due)
{
	uint64_t now = now_ns(), rest = due > now ? due - now : 0;
	struct timespec ts = { (time_t)(rest / 1000000000), (long)(rest % 1000000000) };
	int number = sigtimedwait(&signals, NULL, &ts);

	if (number == SIGUSR1)
		begin_asked = 1;
	else if (number == SIGTERM || number == SIGINT)
		kill(child, number);
}

/* Execute a mark; when that was is between two times. */
static void mark(uint32_t payload)
{
	static const unsigned char magic[] = MARK_MAGIC;
	uint64_t before, after;

	memcpy(code, magic, sizeof(magic));
	memcpy(code + sizeof(magic), magic, 3);
	memcpy(code + sizeof(magic) + 3, &payload, sizeof(payload));
	code[2 * sizeof(magic)] = 0xc3; /* ret */
	before = now_ns();
	((void (*)(void))code)();
	after = now_ns();
	fprintf(maps_out, "mark %x %lx %lx\n", payload, before, after);
}

/* Pages of zeros that all processes share: a small one and a huge one, as far as there are. */
static void zero_pages(void)
{
	const size_t huge = 2 << 20;
	char *at = mmap(NULL, 2 * huge, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	volatile char *aligned = (char *)(((uintptr_t)at + huge - 1) & ~(huge - 1));
	volatile char *small = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint64_t frame;

	if (at == MAP_FAILED || small == MAP_FAILED)
		return;
	madvise((void *)small, PAGE, MADV_NOHUGEPAGE);
	(void)small[0];
	frame = own_frame((uintptr_t)small);
	if (frame)
		fprintf(maps_out, "zero %lx 1\n", frame);
	madvise((void *)aligned, huge, MADV_HUGEPAGE);
	(void)aligned[0];
	frame = own_frame((uintptr_t)aligned);
	if (frame && own_frame((uintptr_t)aligned + huge - PAGE) == frame + huge / PAGE - 1)
		fprintf(maps_out, "zero %lx %lx\n", frame, huge / PAGE);
	munmap(at, 2 * huge);
	munmap((void *)small, PAGE);
}

static int spawn(char **command)
{
	child = fork();
	if (child)
		return child > 0 ? 0 : -1;
	sigprocmask(SIG_UNBLOCK, &signals, NULL);
	execvp(command[0], command);
	fprintf(stderr, "%s: %s\n", command[0], strerror(errno));
	_exit(errno == ENOENT ? 127 : 126);
}

/* Has the command ended? Orphans of its processes come here, too. */
static int ended(int *code_of)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid != child)
			continue;
		*code_of = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
		return 1;
	}
	return 0;
}

static void nap(uint64_t ns)
{
	struct timespec ts = { (time_t)(ns / 1000000000), (long)(ns % 1000000000) };

	nanosleep(&ts, NULL);
}

static void begin(void)
{
	mark(MARK_START);
	nap(20000000); /* QEMU translates everything anew */
}

static int follow(uint64_t every, const char *comm, int waits)
{
	uint32_t number = 1;
	int code_of = 0, begun = !waits;
	uint64_t due = now_ns(), begun_at = due;

	for (;;) {
		int over = ended(&code_of);
		uint64_t start = now_ns(), took, wait;

		if (!begun && begin_asked) {
			begin();
			begun = 1;
			begun_at = start;
		}
		if (!over && begun && start >= due) {
			mark(number++);
			look(child, comm);
			fflush(maps_out);
			took = now_ns() - start;
			wait = (start - begun_at) / 4; /* soon after the start, more often */
			wait = wait < FIRST_NS ? FIRST_NS : wait > every ? every : wait;
			took *= SHARE + 1;
			took = took > MOST * every ? MOST * every : took;
			due = start + (took > wait ? took : wait);
		}
		if (over) {
			if (begun)
				mark(number);
			mark(MARK_STOP);
			fflush(maps_out);
			return code_of;
		}
		wait_until(begun ? due : start + 1000000000);
	}
}

int main(int argc, char **argv)
{
	const int numbers[] = { SIGUSR1, SIGTERM, SIGINT, SIGCHLD };
	int waits;

	if (argc < 6)
		return 2;
	maps_out = fopen(argv[1], "we");
	code = mmap(NULL, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (!maps_out || code == MAP_FAILED || open_own()) {
		perror("truth-agent");
		return 125;
	}
	setvbuf(maps_out, NULL, _IOFBF, 1 << 18);
	sigemptyset(&signals);
	for (int i = 0; i < 4; i++)
		sigaddset(&signals, numbers[i]);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	fprintf(maps_out, "agent 1 %d\n", getpid());
	zero_pages();
	waits = !strcmp(argv[4], "signal");
	if (!waits)
		begin();
	if (spawn(argv + 5)) {
		perror("truth-agent: fork");
		return 125;
	}
	return follow(strtoull(argv[2], NULL, 10) * 1000000, argv[3], waits);
}
