// SPDX-License-Identifier: GPL-2.0-only
/* Windows of time: the thread that takes the bits of each interval, and writes the counts of a window. */
#define _GNU_SOURCE
#include "truth.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/uio.h>
#include <time.h>

#define MOST_SLEEP 250000 /* ns */

/* Intervals of a window in which a frame was accessed, and how. */
struct tally {
	uint16_t touched, written, of[NR_KINDS];
};

struct row_block {
	uint64_t begin_ns, end_ns;
	uint32_t intervals, rows, width, packed;
};

static struct tally *window; /* of each frame */
static uint32_t *before; /* of each frame and kind: exact counts up to the last window */
static unsigned char *buffer; /* rows of a window, and behind them the same compressed */
static size_t buffer_len;
static bool recording, stopping, failed;
static pthread_t collector;
static pthread_mutex_t writing = PTHREAD_MUTEX_INITIALIZER;

static uint64_t host_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

/* The machine's time. Not of a vCPU's thread: where instructions are counted, QEMU refuses that within a block. */
static uint64_t clock_ns(void)
{
	return qemu_clock_get_ns ? (uint64_t)qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL) : host_ns();
}

static void *read_clock(void *time)
{
	*(uint64_t *)time = clock_ns();
	return NULL;
}

uint64_t clock_of_vcpu(void)
{
	uint64_t time = 0;
	pthread_t reader;

	if (!pthread_create(&reader, NULL, read_clock, &time))
		pthread_join(reader, NULL);
	return time;
}

void put(const char *tag, const void *head, size_t head_len, const void *body, size_t body_len)
{
	struct {
		char tag[4];
		uint32_t len;
	} lead = { .len = (uint32_t)(head_len + body_len) };
	struct iovec parts[3] = { { &lead, sizeof(lead) }, { (void *)head, head_len }, { (void *)body, body_len } };
	ssize_t wanted = (ssize_t)(sizeof(lead) + head_len + body_len), done;

	memcpy(lead.tag, tag, 4);
	pthread_mutex_lock(&writing);
	done = failed ? wanted : writev(asked.out, parts, 3);
	if (done != wanted) {
		fprintf(stderr, "truth: writing failed: %s\n", done < 0 ? strerror(errno) : "no space left");
		failed = true;
	}
	pthread_mutex_unlock(&writing);
}

/* The bits of an interval go to the window's counts. */
static void sweep(void)
{
	uint64_t *words = (uint64_t *)now;

	for (uint64_t i = 0; i < (asked.nr_frames + 7) / 8; i++) {
		uint64_t bits;

		if (!__atomic_load_n(&words[i], __ATOMIC_RELAXED))
			continue;
		bits = __atomic_exchange_n(&words[i], 0, __ATOMIC_ACQ_REL);
		for (uint64_t frame = i * 8; bits; bits >>= 8, frame++) {
			struct tally *t = &window[frame];

			if (!(bits & 0xff))
				continue;
			t->touched++;
			t->written += !!(bits & WRITES);
			for (int kind = 0; kind < NR_KINDS; kind++)
				t->of[kind] += bits >> kind & 1;
		}
	}
}

static uint32_t total(uint64_t at)
{
	uint32_t sum = 0;

	for (unsigned int i = 0; i < asked.nr_vcpus; i++)
		sum += __atomic_load_n(&vcpus[i].counts[at], __ATOMIC_RELAXED);
	return sum;
}

/* Columns of the window's rows: frames, then counts; the window is empty then. `all`: look at frames without bits. */
static uint32_t take_rows(bool all)
{
	uint32_t *frames = (uint32_t *)buffer, rows = 0;
	unsigned char *to;

	for (uint64_t frame = 0; frame < asked.nr_frames; frame++) {
		bool changed = window[frame].touched;

		for (int kind = 0; all && asked.exact && !changed && kind < NR_KINDS; kind++)
			changed = total(frame * NR_KINDS + kind) != before[frame * NR_KINDS + kind];
		if (changed)
			frames[rows++] = (uint32_t)frame;
	}
	to = buffer + (size_t)rows * sizeof(*frames);
	for (int column = 0; column < 2 + NR_KINDS; column++) {
		for (uint32_t row = 0; row < rows; row++) {
			const uint16_t *counts = (const uint16_t *)&window[frames[row]];
			uint64_t at = (uint64_t)frames[row] * NR_KINDS + (unsigned int)column - 2;
			uint32_t sum;

			if (!asked.exact || column < 2) {
				memcpy(to, &counts[column], 2);
				to += 2;
				continue;
			}
			sum = total(at);
			memcpy(to, &(uint32_t){ sum - before[at] }, 4);
			before[at] = sum;
			to += 4;
		}
	}
	for (uint32_t row = 0; row < rows; row++)
		memset(&window[frames[row]], 0, sizeof(*window));
	buffer_len = (size_t)(to - buffer);
	return rows;
}

static void write_window(uint64_t begin, uint64_t end, uint32_t intervals, bool all)
{
	struct row_block head = { begin, end, intervals, take_rows(all), asked.exact ? 4 : 2, 0 };
	unsigned char *packed = buffer + buffer_len;
	unsigned long len = buffer_len + buffer_len / 100 + 64;

	if (compress2 && !compress2(packed, &len, buffer, buffer_len, 1)) {
		head.packed = 1;
		put("WIND", &head, sizeof(head), packed, len);
	} else {
		put("WIND", &head, sizeof(head), buffer, buffer_len);
	}
}

/* The machine's time may go faster or slower than the host's. */
static void sleep_until(uint64_t due)
{
	for (uint64_t at = clock_ns(); at < due && !__atomic_load_n(&stopping, __ATOMIC_ACQUIRE); at = clock_ns()) {
		uint64_t rest = due - at;
		struct timespec ts = { 0, (long)(rest < MOST_SLEEP ? rest : MOST_SLEEP) };

		nanosleep(&ts, NULL);
	}
}

static void *collect(void *unused)
{
	uint64_t begin = clock_ns(), due = begin, at = begin;
	uint32_t intervals = 0;
	bool stop;

	(void)unused;
	setpriority(PRIO_PROCESS, 0, -10); /* where it is allowed: a late interval is a longer one */
	do {
		due += asked.interval_ns;
		at = clock_ns();
		if (due < at)
			due += (at - due) / asked.interval_ns * asked.interval_ns; /* late: fewer intervals */
		sleep_until(due);
		stop = __atomic_load_n(&stopping, __ATOMIC_ACQUIRE);
		__atomic_fetch_add(&interval_now, 1, __ATOMIC_RELEASE);
		at = clock_ns();
		sweep();
		intervals++;
		if (at - begin + asked.interval_ns / 2 >= asked.window_ns || stop) {
			write_window(begin, at, intervals, stop);
			begin = at;
			intervals = 0;
		}
	} while (!stop);
	put("DONE", &at, sizeof(at), NULL, 0);
	return NULL;
}

/* 0, or -1: there is no memory. */
int set_up_windows(void)
{
	const size_t row = sizeof(uint32_t) + 2 * sizeof(uint16_t) + NR_KINDS * sizeof(uint32_t);

	window = take((asked.nr_frames + 8) * sizeof(*window));
	buffer = take(asked.nr_frames * row * 2 + asked.nr_frames + 4096);
	before = take(asked.nr_frames * NR_KINDS * sizeof(*before));
	return window && buffer && before ? 0 : -1;
}

int start_windows(void)
{
	int error = pthread_create(&collector, NULL, collect, NULL);

	__atomic_store_n(&recording, !error, __ATOMIC_RELEASE);
	return error ? -1 : 0;
}

void stop_windows(void)
{
	if (!__atomic_load_n(&recording, __ATOMIC_ACQUIRE) || __atomic_exchange_n(&stopping, true, __ATOMIC_ACQ_REL))
		return;
	pthread_join(collector, NULL);
}

void *take(size_t len)
{
	void *memory = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return memory == MAP_FAILED ? NULL : memory;
}
