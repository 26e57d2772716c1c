// SPDX-License-Identifier: GPL-2.0-only
/*
 * Waiting for a request. To wake a processor that has gone idle takes longer than to serve a request, above all in a
 * virtual machine, and each request wakes one twice: for us, and for who asked. So while requests come one after the
 * other the kernel is asked to keep idle processors awake (PM QoS, which goes with our descriptor). Where that is not
 * permitted the leader at least looks for the next request for a moment before it sleeps; it lets everybody else run
 * in between, and stops looking when somebody else does.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <time.h>
#include <unistd.h>

#include "fuse.h"

/* Requests come one after the other when so many in a row each came within that time after the answer before. */
#define EAGER 8
#define SOON_NS 200000
/* Processors are kept awake until there was no request for so long. */
#define AWAKE_MS 2
#define AWAKE 0 /* us that it may take one to wake up */
#define ASLEEP 2000000000
/* Who gets the processor back so late has kept others waiting; then the next ones are slept for. */
#define LATE_NS 100000
#define PENANCE 500

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000ull + now.tv_nsec;
}

static int64_t get(struct fs *fs, void *buffer)
{
	ssize_t size;

	do
		size = read(fs->fd, buffer, FS_BUFFER);
	while (size < 0 && (errno == EINTR || errno == ENOENT)); /* ENOENT: taken back by who asked */
	return size < 0 ? -errno : size;
}

static int64_t look(struct fs *fs, void *buffer, uint64_t began)
{
	uint64_t last = began, now;
	int64_t size;

	do {
		sched_yield();
		size = get(fs, buffer);
		if (size != -EAGAIN)
			return size;
		now = now_ns();
		if (now - last > LATE_NS) {
			fs->eager = -PENANCE;
			return size;
		}
		last = now;
	} while (now - began < SOON_NS);
	fs->eager = 0;
	return size;
}

void fs_wait_init(struct fs *fs)
{
	cpu_set_t cpus;

	fs->several = !sched_getaffinity(0, sizeof(cpus), &cpus) && CPU_COUNT(&cpus) > 1;
	fs->latency_fd = fs->several ? open("/dev/cpu_dma_latency", O_WRONLY | O_CLOEXEC) : -1;
}

static void keep_awake(struct fs *fs, int awake)
{
	int32_t us = awake ? AWAKE : ASLEEP;

	if (fs->awake == awake || fs->latency_fd < 0)
		return;
	fs->awake = awake;
	if (write(fs->latency_fd, &us, sizeof(us)) < 0) {
		close(fs->latency_fd);
		fs->latency_fd = -1;
	}
}

int64_t fs_next(struct fs *fs, void *buffer)
{
	struct pollfd wait = { .fd = fs->fd, .events = POLLIN };
	int64_t size = get(fs, buffer);
	uint64_t began;

	if (size != -EAGAIN) {
		fs->eager += fs->eager < EAGER;
		return size;
	}
	began = now_ns();
	if (fs->several && fs->eager >= EAGER) {
		keep_awake(fs, 1);
		if (!fs->awake)
			size = look(fs, buffer, began);
	}
	while (size == -EAGAIN) {
		if (!poll(&wait, 1, fs->awake ? AWAKE_MS : -1))
			keep_awake(fs, 0);
		size = get(fs, buffer);
	}
	if (now_ns() - began < SOON_NS)
		fs->eager += fs->eager < EAGER;
	else if (fs->eager > 0)
		fs->eager = 0;
	return size;
}
