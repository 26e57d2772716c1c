// SPDX-License-Identifier: GPL-2.0-only
/*
 * Accesses without end, for tests/vm/test_truth.py: a round reads 4 pages and writes 4 others. Before and after every
 * tenth round it notes the time, and prints: number of the round, time before, time after, in ns.
 */
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#define P 4096ul

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

int main(void)
{
	volatile unsigned char *p = mmap((void *)(0x600000000 * P), 8 * P, 3, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	madvise((void *)p, 8 * P, MADV_NOHUGEPAGE);
	usleep(300000); /* the process has been seen */
	for (int i = 0; i < 8; i++)
		p[i * P] = 1;
	usleep(700000);
	for (unsigned int n = 1;; n++) {
		uint64_t before = now_ns();

		for (int i = 0; i < 4; i++)
			(void)p[i * P];
		for (int i = 4; i < 8; i++)
			p[i * P] = 1;
		if (n % 10 == 0) {
			printf("%u %lu %lu\n", n, before, now_ns());
			fflush(stdout);
		}
		usleep(3000);
	}
}
