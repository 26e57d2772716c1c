// SPDX-License-Identifier: GPL-2.0-only
/*
 * Threads that serve. One of them, the leader, waits for requests and answers what is quick itself; before it turns to
 * a write, which can wait for a worker, another one becomes the leader. So nobody waits for a slow command of somebody
 * else, and a quick request wakes one thread at most.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "damon.h"
#include "fuse.h"

/*
 * The kernel looks a name up again once when it hears ESTALE. What it finds then can have gone as well: that is ENOENT,
 * and no ESTALE reaches anybody.
 */
static int once_stale(struct fs *fs, uint32_t thread, int result)
{
	uint32_t *known = &fs->stale[thread % FS_STALE];
	int again;

	pthread_mutex_lock(&fs->lock);
	again = *known == thread;
	if (result == -ESTALE)
		*known = again ? 0 : thread;
	else if (again)
		*known = 0;
	pthread_mutex_unlock(&fs->lock);
	return result == -ESTALE && again ? -ENOENT : result;
}

/* Room for any request and its answer: 0, or a negative errno; request_free() in both cases. */
static int request_init(struct fs_request *rq, struct fs *fs)
{
	char *in = malloc(FS_BUFFER), *out = malloc(FS_BUFFER);

	rq->fs = fs;
	rq->in = (void *)in;
	rq->out = (void *)out;
	if (!in || !out)
		return -ENOMEM;
	rq->arg = in + sizeof(struct fuse_in_header);
	rq->reply = out + sizeof(struct fuse_out_header);
	return 0;
}

static void request_free(struct fs_request *rq)
{
	free(rq->in);
	free(rq->out);
}

static void answer(struct fs *fs, struct fs_request *rq, int result)
{
	const struct fuse_open_out *opened = rq->reply;

	if (result == FS_SILENT)
		return;
	if (rq->in->opcode != FUSE_LOOKUP && rq->in->pid)
		result = once_stale(fs, rq->in->pid, result);
	rq->out->unique = rq->in->unique;
	rq->out->error = result < 0 ? result : 0;
	rq->out->len = sizeof(*rq->out) + (result < 0 ? 0 : result);
	if (write(fs->fd, rq->out, rq->out->len) >= 0 || result < 0)
		return;
	if (rq->in->opcode == FUSE_OPEN) /* nobody wants it any more, and nobody will close it */
		fs_close_file(fs, opened->fh);
	else if (rq->in->opcode == FUSE_OPENDIR)
		fs_close_listing(fs, opened->fh);
}

/*
 * The caller leads; another thread does when this is 1. 0: no other thread can lead. Then the caller must not wait for
 * anybody: those who write wait for requests to be served.
 */
static int hand_over(struct fs *fs)
{
	int more = 0;

	pthread_mutex_lock(&fs->lock);
	if (!fs->followers) {
		more = fs->threads < fs->max_threads;
		if (!more) {
			pthread_mutex_unlock(&fs->lock);
			return 0;
		}
		fs->threads++;
	}
	fs->leading = 0;
	pthread_cond_signal(&fs->follow);
	pthread_mutex_unlock(&fs->lock);
	if (!more || fs->calls.more() >= 0)
		return 1;
	pthread_mutex_lock(&fs->lock);
	fs->threads--;
	more = !fs->leading; /* no thread took over: the caller leads on */
	fs->leading = 1;
	pthread_mutex_unlock(&fs->lock);
	return !more;
}

static void end(struct fs *fs)
{
	pthread_mutex_lock(&fs->lock);
	fs->ended = 1;
	fs->leading = 0;
	pthread_cond_broadcast(&fs->follow);
	pthread_mutex_unlock(&fs->lock);
}

/* 1: the caller leads; 0: it was unmounted. */
static int become_leader(struct fs *fs)
{
	int leads;

	pthread_mutex_lock(&fs->lock);
	fs->followers++;
	while (fs->leading && !fs->ended)
		pthread_cond_wait(&fs->follow, &fs->lock);
	fs->followers--;
	leads = !fs->ended;
	if (leads)
		fs->leading = 1;
	pthread_mutex_unlock(&fs->lock);
	return leads;
}

/* Wait for a request: its size, or a negative errno; -ENODEV: it was unmounted. One system call for each request. */
static int64_t next_request(struct fs *fs, void *buffer)
{
	ssize_t size;

	do
		size = read(fs->fd, buffer, FS_BUFFER);
	while (size < 0 && (errno == EINTR || errno == ENOENT)); /* ENOENT: taken back by who asked */
	return size < 0 ? -errno : size;
}

/* Serve until it is unmounted: 0, or a negative errno. Called by each thread, of which calls.more() can start some. */
EXPORT int damon_fuse_serve(struct fs *fs)
{
	struct fs_request rq;
	int result = request_init(&rq, fs);

	while (!result && become_leader(fs)) {
		for (;;) {
			int64_t size = next_request(fs, rq.in);

			if (size < 0) {
				result = size == -ENODEV ? 0 : size;
				end(fs);
				break;
			}
			fs->counts[rq.in->opcode % FS_OPCODES]++;
			if (rq.in->opcode == FUSE_WRITE && hand_over(fs)) {
				answer(fs, &rq, fs_serve(&rq));
				break;
			}
			answer(fs, &rq, rq.in->opcode == FUSE_WRITE ? -EBUSY : fs_serve(&rq));
		}
	}
	request_free(&rq);
	return result;
}

/* Answer the kernel's first request, within ``patience_ms``. */
EXPORT int damon_fuse_greet(struct fs *fs, int patience_ms)
{
	struct pollfd wait = { .fd = fs->fd, .events = POLLIN };
	struct fs_request rq;
	int result = request_init(&rq, fs);

	if (!result && poll(&wait, 1, patience_ms) <= 0)
		result = -ETIMEDOUT;
	if (!result && read(fs->fd, rq.in, FS_BUFFER) < 0)
		result = -errno;
	if (!result && rq.in->opcode != FUSE_INIT)
		result = -EPROTO;
	if (!result)
		answer(fs, &rq, fs_serve(&rq));
	request_free(&rq);
	return result;
}

/* Requests on ``fd`` (of /dev/fuse) become calls. All of the tree belongs to ``uid`` and ``gid``. NULL: no memory. */
EXPORT struct fs *damon_fuse_new(int fd, const struct fs_calls *calls, uint32_t uid, uint32_t gid, int max_threads)
{
	struct fs *fs = calloc(1, sizeof(*fs));
	struct timespec now;

	if (!fs)
		return NULL;
	clock_gettime(CLOCK_REALTIME, &now);
	fs->fd = fd;
	fs->calls = *calls;
	fs->uid = uid;
	fs->gid = gid;
	fs->born_ns = now.tv_sec * 1000000000ull + now.tv_nsec;
	fs->threads = 1;
	fs->max_threads = max_threads;
	fs->free = UINT32_MAX;
	pthread_mutex_init(&fs->lock, NULL);
	pthread_cond_init(&fs->follow, NULL);
	return fs;
}

/* How many requests there were of each opcode; the number of open files. */
EXPORT uint64_t damon_fuse_counts(struct fs *fs, uint64_t counts[FS_OPCODES])
{
	memcpy(counts, fs->counts, sizeof(fs->counts));
	return fs->open_files;
}
