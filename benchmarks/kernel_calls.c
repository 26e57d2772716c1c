// SPDX-License-Identifier: GPL-2.0-only
/* For benchmarks/kernel_calls.py: prints a name and the ns of each call, tab-separated. Needs root. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { PAGE = 4096, PAGES = 65536, CALLS = 400, ROUNDS = 20, WORD = 64, FRAMES = 1 << 22 };

static int pagemap, kpageflags, bitmap;
static char *area;
static uint64_t words[CALLS], value;

static uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void nothing(int i)
{
	(void)i;
	syscall(SYS_getppid);
}

static void read_at(int fd, uint64_t at)
{
	if (pread(fd, &value, 8, (off_t)(8 * at)) != 8)
		exit(1);
}

static void read_pagemap(int i)
{
	read_at(pagemap, (uintptr_t)area / PAGE + (uint64_t)i * 17);
}

static void read_kpageflags(int i)
{
	read_at(kpageflags, words[i] * WORD + 3);
}

static void read_word(int i)
{
	read_at(bitmap, words[i]);
}

static void write_word(int i)
{
	uint64_t one = 1;

	if (pwrite(bitmap, &one, 8, (off_t)(8 * words[i])) != 8)
		exit(1);
}

static void print(const char *name, void (*call)(int))
{
	uint64_t best = ~0ULL;

	for (int round = 0; round < ROUNDS; round++) {
		uint64_t begin = now(), took;

		for (int i = 0; i < CALLS; i++)
			call(i);
		took = now() - begin;
		best = took < best ? took : best;
	}
	printf("%s\t%.0f\n", name, (double)best / CALLS);
}

/* Words of the bitmap all of whose frames are ours. */
static int find_words(void)
{
	uint64_t *entries = malloc(PAGES * 8);
	char *ours = calloc(1, FRAMES);
	int nr = 0;

	if (!entries || !ours || pread(pagemap, entries, PAGES * 8, (off_t)((uintptr_t)area / PAGE * 8)) != PAGES * 8)
		exit(1);
	for (int i = 0; i < PAGES; i++)
		ours[(entries[i] & ((1ULL << 55) - 1)) & (FRAMES - 1)] = 1;
	for (uint64_t word = 0; word < FRAMES / WORD && nr < CALLS; word++) {
		int all = 1;

		for (int i = 0; i < WORD; i++)
			all &= ours[word * WORD + (uint64_t)i];
		if (all)
			words[nr++] = word;
	}
	free(entries);
	free(ours);
	return nr;
}

static void make_idle(int frames)
{
	uint64_t mask = frames == WORD ? ~0ULL : (1ULL << frames) - 1;

	for (int i = 0; i < CALLS; i++)
		if (pwrite(bitmap, &mask, 8, (off_t)(8 * words[i])) != 8)
			exit(1);
}

int main(void)
{
	static const int idle[] = { 0, 1, 4, 16, 64 };

	area = mmap(NULL, (size_t)PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (area == MAP_FAILED)
		return 1;
	madvise(area, (size_t)PAGES * PAGE, MADV_NOHUGEPAGE);
	for (size_t i = 0; i < PAGES; i++)
		area[i * PAGE] = 1;
	sleep(1);
	pagemap = open("/proc/self/pagemap", O_RDONLY);
	kpageflags = open("/proc/kpageflags", O_RDONLY);
	bitmap = open("/sys/kernel/mm/page_idle/bitmap", O_RDWR);
	if (pagemap < 0 || kpageflags < 0 || bitmap < 0 || find_words() < CALLS)
		return 1;
	print("getppid(2)", nothing);
	print("pagemap: an entry", read_pagemap);
	print("kpageflags: an entry", read_kpageflags);
	for (size_t i = 0; i < sizeof(idle) / sizeof(*idle); i++) {
		char name[64];

		make_idle(idle[i]);
		snprintf(name, sizeof(name), "bitmap: a word, %d of 64 frames idle", idle[i]);
		print(name, read_word);
	}
	print("bitmap: a word written, 1 frame", write_word);
	return 0;
}
