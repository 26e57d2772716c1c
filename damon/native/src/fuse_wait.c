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

/* The next request, waited for: one call where poll() and read() would be two, or three. */
static int64_t get(struct fs *fs, void *buffer)
{
	ssize_t size;

	do
		size = read(fs->fd, buffer, FS_BUFFER);
	while (size < 0 && (errno == EINTR || errno == ENOENT)); /* ENOENT: taken back by who asked */
	return size < 0 ? -errno : size;
}

static int is_there(struct fs *fs)
{
	struct pollfd wait = { .fd = fs->fd, .events = POLLIN };

	return poll(&wait, 1, 0) != 0;
}

/* Looks for the next request for a moment. */
static void look(struct fs *fs, uint64_t began)
{
	uint64_t last = began, now;

	do {
		sched_yield();
		if (is_there(fs))
			return;
		now = now_ns();
		if (now - last > LATE_NS) {
			fs->eager = -PENANCE;
			return;
		}
		last = now;
	} while (now - began < SOON_NS);
	fs->eager = 0;
}

void fs_wait_init(struct fs *fs)
{
	cpu_set_t cpus;

	pthread_mutex_init(&fs->wait_lock, NULL);
	pthread_cond_init(&fs->woken, NULL);
	fs->several = !sched_getaffinity(0, sizeof(cpus), &cpus) && CPU_COUNT(&cpus) > 1;
	fs->latency_fd = fs->several ? open("/dev/cpu_dma_latency", O_WRONLY | O_CLOEXEC) : -1;
}

static void tell_kernel(struct fs *fs, int32_t us)
{
	if (write(fs->latency_fd, &us, sizeof(us)) < 0) {
		close(fs->latency_fd);
		fs->latency_fd = -1;
	}
}

/* Lets processors sleep again when nothing was asked for a while; the leader is in read() and cannot. */
static void *guard(void *words)
{
	const struct timespec while_ = { .tv_nsec = AWAKE_MS * 1000000l };
	struct fs *fs = words;

	pthread_mutex_lock(&fs->wait_lock);
	while (!fs->ended) {
		uint64_t seen = __atomic_load_n(&fs->requests, __ATOMIC_RELAXED);

		if (!fs->awake) {
			pthread_cond_wait(&fs->woken, &fs->wait_lock);
			continue;
		}
		pthread_mutex_unlock(&fs->wait_lock);
		nanosleep(&while_, NULL);
		pthread_mutex_lock(&fs->wait_lock);
		if (seen == __atomic_load_n(&fs->requests, __ATOMIC_RELAXED)) {
			tell_kernel(fs, ASLEEP);
			fs->awake = 0;
		}
	}
	pthread_mutex_unlock(&fs->wait_lock);
	return NULL;
}

static void keep_awake(struct fs *fs)
{
	pthread_mutex_lock(&fs->wait_lock);
	if (!fs->guarded) {
		pthread_t thread;

		fs->guarded = !pthread_create(&thread, NULL, guard, fs) && !pthread_detach(thread);
	}
	if (fs->guarded && !fs->awake) {
		tell_kernel(fs, AWAKE);
		fs->awake = fs->latency_fd >= 0;
		pthread_cond_signal(&fs->woken);
	}
	pthread_mutex_unlock(&fs->wait_lock);
}

int64_t fs_next(struct fs *fs, void *buffer)
{
	uint64_t began = now_ns();
	int64_t size;

	if (fs->several && fs->eager >= EAGER) {
		if (fs->latency_fd < 0)
			look(fs, began);
		else if (!__atomic_load_n(&fs->awake, __ATOMIC_RELAXED))
			keep_awake(fs);
	}
	size = get(fs, buffer);
	__atomic_add_fetch(&fs->requests, 1, __ATOMIC_RELAXED);
	if (now_ns() - began < SOON_NS)
		fs->eager += fs->eager < EAGER;
	else if (fs->eager > 0)
		fs->eager = 0;
	return size;
}
