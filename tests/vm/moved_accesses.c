// SPDX-License-Identifier: GPL-2.0-only
/*
 * Accesses of pages on two NUMA nodes, which are migrated to the other one in between, for tests/vm/test_truth.py:
 * 24 pages begin on each node. Of each node's, 8 are read and 8 written 100 times before, and the written ones are
 * written 50 times after. Prints the nodes of the first page of each half: before, after move_pages, after
 * migrate_pages has brought the first half back.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>
#define P 4096ul
#define HALF 24
#define MPOL_BIND 2
#define MPOL_MF_MOVE 2

static unsigned char *at(int half, int page)
{
	return (unsigned char *)(0x600000000 * P) + (half * HALF + page) * P;
}

static void touch(int times, int reads)
{
	for (int n = 0; n < times; n++) {
		for (int half = 0; half < 2; half++) {
			for (int page = 0; reads && page < 8; page++)
				(void)*(volatile unsigned char *)(at(half, page) + n);
			for (int page = 8; page < 16; page++)
				*(volatile unsigned char *)(at(half, page) + n) = 1;
		}
		usleep(2000);
	}
}

static int move(int half, int to)
{
	void *pages[HALF];
	int nodes[HALF], status[HALF];

	for (int page = 0; page < HALF; page++) {
		pages[page] = at(half, page);
		nodes[page] = to;
	}
	return (int)syscall(SYS_move_pages, 0, (long)HALF, pages, nodes, status, MPOL_MF_MOVE);
}

static void show(void)
{
	void *pages[2] = { at(0, 0), at(1, 0) };
	int status[2] = { -1, -1 };

	syscall(SYS_move_pages, 0, 2l, pages, NULL, status, 0);
	printf("%d %d\n", status[0], status[1]);
	fflush(stdout);
}

int main(void)
{
	unsigned long masks[2] = { 1, 2 };

	usleep(300000); /* the process has been seen */
	if (mmap(at(0, 0), 2 * HALF * P, 3, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != at(0, 0))
		return 1;
	madvise(at(0, 0), 2 * HALF * P, MADV_NOHUGEPAGE);
	for (int half = 0; half < 2; half++) {
		if (syscall(SYS_mbind, at(half, 0), HALF * P, (long)MPOL_BIND, &masks[half], 3l, 0l))
			return 2;
		for (int page = 0; page < HALF; page++)
			*(volatile unsigned char *)at(half, page) = 1;
		/* migrate_pages of the whole process goes where the policy permits. */
		if (syscall(SYS_mbind, at(half, 0), HALF * P, 0l, NULL, 0l, 0l))
			return 3;
	}
	usleep(700000);
	touch(100, 1);
	show();
	/* Looks before and after, without accesses between. */
	usleep(700000);
	if (move(0, 1) || move(1, 0))
		return 4;
	usleep(700000);
	touch(50, 0);
	show();
	usleep(700000);
	if (syscall(SYS_migrate_pages, 0l, 3l, &masks[1], &masks[0]) < 0)
		return 5;
	usleep(700000);
	touch(50, 0);
	show();
	usleep(1000000);
	return 0;
}
