/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * damond's end of FUSE: what the kernel asks of a tree of small text files, answered here as far as it needs no value.
 * The tree itself is Python's (damon/damond/fusefs.py); it is asked for names, texts and stores.
 */
#ifndef PYDAMON_FUSE_H
#define PYDAMON_FUSE_H

#include <linux/fuse.h>
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

/* What one write can bring and one read can show: a page, whatever the machine's is. */
#define FS_PAGE 4096
#define FS_MAX_WRITE (128 * 1024)
#define FS_BUFFER (FS_MAX_WRITE + FS_PAGE)
#define FS_OPCODES 64
#define FS_STALE 256
#define FS_NEVER (1ull << 40) /* seconds that names and attributes are good for: until we say otherwise */

/* A node of the tree that the kernel knows, or is just being told of. */
struct fs_inode {
	uint64_t refs; /* the kernel's lookups, and listings that name it */
	uint32_t mode, generation;
	uint32_t next; /* of those that are free */
	uint8_t used, gone, told; /* left the tree; and the kernel knows */
};

/* All calls: a result below 0 is a negative errno. */
struct fs_calls {
	int64_t (*lookup)(uint64_t parent, const char *name); /* held once */
	int (*list)(uint64_t dir, void *listing); /* calls damon_fuse_list() */
	int (*show)(uint64_t file, char *text); /* at most FS_PAGE bytes; their number */
	int (*store)(uint64_t file, const char *data, size_t size); /* bytes taken */
	int (*more)(void); /* another thread is to call damon_fuse_serve() */
};

struct fs_listing; /* an open directory */

struct fs_file {
	uint64_t ino;
	uint32_t size;
	char text[FS_PAGE];
};

struct fs {
	int fd;
	struct fs_calls calls;
	uint32_t uid, gid;
	uint64_t born_ns;

	pthread_mutex_t lock; /* all that follows, up to the leader's own */
	pthread_cond_t follow;
	int leading, followers, threads, max_threads, ended;
	struct fs_inode *inodes;
	uint32_t nr_inodes, max_inodes, free;
	uint64_t open_files;

	uint32_t stale[FS_STALE]; /* threads that were told to look a name up again */

	uint64_t counts[FS_OPCODES]; /* the leader's */
};

/* One thread's request and its answer. */
struct fs_request {
	struct fs *fs;
	struct fuse_in_header *in;
	const void *arg;
	struct fuse_out_header *out;
	void *reply; /* FS_BUFFER bytes, less the header */
};

/* fuse_inode.c; the caller holds the lock. */
struct fs_inode *fs_inode(struct fs *fs, uint64_t ino);
void fs_put(struct fs *fs, uint64_t ino, uint64_t nr);
int fs_missing(struct fs *fs, uint64_t ino);
void fs_attr(const struct fs *fs, uint64_t ino, const struct fs_inode *inode, struct fuse_attr *attr);
void fs_entry(const struct fs *fs, uint64_t ino, const struct fs_inode *inode, struct fuse_entry_out *entry);

/* fuse_dir.c */
int fs_opendir(struct fs_request *rq);
int fs_readdir(struct fs_request *rq, int plus);
void fs_close_listing(struct fs *fs, uint64_t fh);

/* fuse_ops.c: the size of the reply, or a negative errno; FS_SILENT: there is none. */
#define FS_SILENT 1000000
int fs_serve(struct fs_request *rq);
void fs_close_file(struct fs *fs, uint64_t fh);

#endif
