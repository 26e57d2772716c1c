// SPDX-License-Identifier: GPL-2.0-only
/*
 * Waiting for a request. To be woken takes longer than to serve one, above all when the processor has gone idle in a
 * virtual machine. So while requests come one after the other the leader looks for the next one for a moment before it
 * sleeps. It lets everybody else run in between, and stops that when somebody else does.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <time.h>
#include <unistd.h>

#include "fuse.h"

/* How long it looks. */
#define LOOK_NS 200000
/* So many requests in a row must have come within that time. */
#define EAGER 8
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
	} while (now - began < LOOK_NS);
	fs->eager = 0;
	return size;
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
	if (fs->spins && fs->eager >= EAGER) {
		size = look(fs, buffer, began);
		if (size != -EAGAIN)
			return size;
	}
	while (size == -EAGAIN) {
		poll(&wait, 1, -1);
		size = get(fs, buffer);
	}
	if (now_ns() - began < LOOK_NS)
		fs->eager += fs->eager < EAGER;
	else if (fs->eager > 0)
		fs->eager = 0;
	return size;
}
