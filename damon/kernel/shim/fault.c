// SPDX-License-Identifier: GPL-2.0-only
/*
 * Faults of the kernel's code: BUG(), a bad address, a division by zero, an endless loop. None can be gone on from.
 * What happened and where is written to a descriptor (see damon/kernel/faults.py, which finds file and line), and the
 * process ends.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <execinfo.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))
#define MOST 32
/* The exit code, as of a kernel that panics; outside of what commands use. */
#define EXIT_FAULT 86

static int report_fd = 2;
static char our_path[1024];
static unsigned long our_base;

static void say(const char *text)
{
	if (write(report_fd, text, strlen(text)) < 0)
		return;
}

/* "fault WHAT\n", then "at OFFSET\n" for each place in this library, the innermost first. */
static __attribute__((noreturn)) void report(const char *what, void *pc)
{
	void *places[MOST];
	char line[1280];
	int nr = backtrace(places, MOST);

	snprintf(line, sizeof(line), "fault %s\nlibrary %s\n", what, our_path);
	say(line);
	for (int i = -1; i < nr; i++) {
		Dl_info info;
		void *place = i < 0 ? pc : places[i];

		if (!place || (i >= 0 && place == pc) || !dladdr(place, &info) ||
		    (unsigned long)info.dli_fbase != our_base)
			continue;
		/* A return address is behind the call. */
		snprintf(line, sizeof(line), "at %lx\n", (unsigned long)place - our_base - (i < 0 ? 0 : 1));
		say(line);
	}
	say("end\n");
	_exit(EXIT_FAULT);
}

__attribute__((noreturn, visibility("hidden"))) void shim_bug(const char *text)
{
	report(text, NULL);
}

static int is_ours(const void *pc)
{
	Dl_info info;

	return dladdr(pc, &info) && (unsigned long)info.dli_fbase == our_base;
}

static void on_signal(int number, siginfo_t *info, void *context)
{
	ucontext_t *at = context;
#if defined(__x86_64__)
	void *pc = (void *)at->uc_mcontext.gregs[REG_RIP];
#elif defined(__aarch64__)
	void *pc = (void *)at->uc_mcontext.pc;
#else
	void *pc = NULL;
#endif
	char what[160];

	switch (number) {
	case SIGSEGV:
	case SIGBUS:
		if ((unsigned long)info->si_addr < 4096)
			snprintf(what, sizeof(what), "NULL pointer dereference, address 0x%lx",
				 (unsigned long)info->si_addr);
		else
			snprintf(what, sizeof(what), "bad address 0x%lx", (unsigned long)info->si_addr);
		break;
	case SIGFPE:
		snprintf(what, sizeof(what), "division by zero");
		break;
	case SIGILL:
	case SIGTRAP:
		snprintf(what, sizeof(what), "illegal instruction (undefined behaviour, or an assertion)");
		break;
	case SIGVTALRM:
		snprintf(what, sizeof(what), "endless loop: no time passed on the machine while the processor worked");
		break;
	default:
		snprintf(what, sizeof(what), "signal %d", number);
	}
	report(what, pc);
}

/* Time of the process's processor that a call into the kernel's code may take; the machine's time must move on. */
static volatile unsigned long progress;
static volatile pthread_t worker;
static unsigned long seen;
static int idle_ticks, most_ticks;

/* This thread is at work from now on. */
EXPORT void shim_progress(void)
{
	worker = pthread_self();
	progress++;
}

/* Each second of processor time: did anything happen since? Only what is at work in this library counts. */
static void on_tick(int number, siginfo_t *info, void *context)
{
	void *places[MOST];
	int nr, ours = 0;

	if (progress != seen) {
		seen = progress;
		idle_ticks = 0;
		return;
	}
	/* The signal is the process's; what there is to see is on the stack of the thread that works. */
	if (worker && !pthread_equal(pthread_self(), worker)) {
		pthread_kill(worker, number);
		return;
	}
	nr = backtrace(places, MOST);
	for (int i = 0; i < nr; i++)
		ours |= is_ours(places[i]);
	if (!ours || ++idle_ticks < most_ticks)
		return;
	on_signal(number, info, context);
}

/*
 * Catch faults of this process from now on, and write reports to fd. seconds: processor time without progress that is
 * an endless loop; 0 never.
 */
EXPORT int shim_catch_faults(int fd, int seconds)
{
	static const int fatal[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP };
	struct sigaction action = { .sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER };
	struct itimerval every = { { 1, 0 }, { 1, 0 } };
	void *warm[1];
	Dl_info info;

	report_fd = fd;
	if (!dladdr((void *)shim_catch_faults, &info))
		return -1;
	our_base = (unsigned long)info.dli_fbase;
	snprintf(our_path, sizeof(our_path), "%s", info.dli_fname);
	backtrace(warm, 1); /* loads what it needs now */
	for (unsigned int i = 0; i < sizeof(fatal) / sizeof(*fatal); i++)
		sigaction(fatal[i], &action, NULL);
	if (seconds <= 0)
		return 0;
	most_ticks = seconds;
	action.sa_sigaction = on_tick;
	action.sa_flags = SA_SIGINFO | SA_RESTART;
	sigaction(SIGVTALRM, &action, NULL);
	return setitimer(ITIMER_VIRTUAL, &every, NULL);
}
