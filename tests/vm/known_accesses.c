// SPDX-License-Identifier: GPL-2.0-only
/* Accesses of known pages, 16 read and 8 written 300 times, for tests/vm/test_truth.py. */
#define _GNU_SOURCE
#include <sys/mman.h>
#include <unistd.h>
#define P 4096ul
int main(void)
{
	volatile unsigned char *p = mmap((void *)(0x600000000 * P), 96 * P, 3, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	madvise((void *)p, 96 * P, MADV_NOHUGEPAGE);
	for (int i = 0; i < 64; i++)
		p[i * P] = 1;
	for (int n = 0; n < 300; n++) {
		for (int i = 0; i < 16; i++)
			(void)p[i * P + n];
		for (int i = 32; i < 40; i++)
			p[i * P + n] = 2;
		usleep(2000);
	}
	/* The kernel reads two pages and writes two more, as one does in read(2) and write(2). */
	int fd = memfd_create("x", 0);
	if (write(fd, (void *)(p + 50 * P), 2 * P) != 2 * P || lseek(fd, 0, 0) ||
	    read(fd, (void *)(p + 54 * P), 2 * P) != 2 * P)
		return 1;
	usleep(1500000);
	return 0;
}
