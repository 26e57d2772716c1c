// SPDX-License-Identifier: GPL-2.0-only
/*
 * Nodes that the kernel knows by number. No number is given twice: a place in the table is, with a higher generation in
 * the upper half. What the kernel learns of a directory that it has forgotten must not meet another node: it would
 * wait for that one's lock, which may be held by whoever waits for us.
 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

#include "damon.h"
#include "fuse.h"

#define NONE UINT32_MAX

struct fs_inode *fs_inode(struct fs *fs, uint64_t ino)
{
	uint32_t place = (uint32_t)ino;
	struct fs_inode *inode = place && place <= fs->nr_inodes ? &fs->inodes[place - 1] : NULL;

	return inode && inode->used && inode->generation == ino >> 32 ? inode : NULL;
}

static void free_if_unused(struct fs *fs, uint64_t ino, struct fs_inode *inode)
{
	if (inode->refs || !inode->gone)
		return;
	inode->used = 0;
	inode->generation = (inode->generation + 1) & INT32_MAX; /* a number is no errno */
	inode->next = fs->free;
	fs->free = (uint32_t)ino - 1;
}

void fs_put(struct fs *fs, uint64_t ino, uint64_t nr)
{
	struct fs_inode *inode = fs_inode(fs, ino);

	if (!inode)
		return;
	inode->refs -= nr < inode->refs ? nr : inode->refs;
	free_if_unused(fs, ino, inode);
}

/*
 * 0, or why there is nothing at ``ino``. Until the kernel is told that a name leads elsewhere it asks for what that led
 * to before: ESTALE makes it look the name up again.
 */
int fs_missing(struct fs *fs, uint64_t ino)
{
	const struct fs_inode *inode = fs_inode(fs, ino);

	if (!inode)
		return -ENOENT;
	return !inode->gone ? 0 : inode->told ? -ENOENT : -ESTALE;
}

void fs_attr(const struct fs *fs, uint64_t ino, const struct fs_inode *inode, struct fuse_attr *attr)
{
	int directory = S_ISDIR(inode->mode);

	memset(attr, 0, sizeof(*attr));
	attr->ino = ino;
	attr->size = directory ? 0 : FS_PAGE;
	attr->mode = inode->mode;
	attr->nlink = directory ? 2 : 1;
	attr->uid = fs->uid;
	attr->gid = fs->gid;
	attr->blksize = FS_PAGE;
	attr->atime = attr->mtime = attr->ctime = fs->born_ns / 1000000000;
	attr->atimensec = attr->mtimensec = attr->ctimensec = fs->born_ns % 1000000000;
}

void fs_entry(const struct fs *fs, uint64_t ino, const struct fs_inode *inode, struct fuse_entry_out *entry)
{
	memset(entry, 0, sizeof(*entry));
	entry->nodeid = ino;
	entry->entry_valid = entry->attr_valid = FS_NEVER;
	fs_attr(fs, ino, inode, &entry->attr);
}

/* A number for a new node of ``mode``; the first one is the root's. -ENOMEM when there is none. */
EXPORT int64_t damon_fuse_inode(struct fs *fs, uint32_t mode)
{
	struct fs_inode *inode;
	int64_t ino = -ENOMEM;

	pthread_mutex_lock(&fs->lock);
	if (fs->free == NONE) {
		if (fs->nr_inodes == fs->max_inodes) {
			uint32_t most = fs->max_inodes ? 2 * fs->max_inodes : 1024;
			void *grown = realloc(fs->inodes, most * sizeof(*fs->inodes));

			if (!grown)
				goto out;
			fs->inodes = grown;
			fs->max_inodes = most;
		}
		inode = &fs->inodes[fs->nr_inodes++];
		memset(inode, 0, sizeof(*inode));
		ino = fs->nr_inodes;
	} else {
		inode = &fs->inodes[fs->free];
		ino = (int64_t)inode->generation << 32 | (fs->free + 1);
		fs->free = inode->next;
	}
	inode->used = 1;
	inode->gone = inode->told = 0;
	inode->refs = 0;
	inode->mode = mode;
out:
	pthread_mutex_unlock(&fs->lock);
	return ino;
}

/* The kernel is about to hear of ``ino``. */
EXPORT void damon_fuse_hold(struct fs *fs, uint64_t ino)
{
	struct fs_inode *inode;

	pthread_mutex_lock(&fs->lock);
	inode = fs_inode(fs, ino);
	if (inode)
		inode->refs++;
	pthread_mutex_unlock(&fs->lock);
}

/* The node has left the tree. 1: the kernel may know it and must be told (damon_fuse_forget()). */
EXPORT int damon_fuse_gone(struct fs *fs, uint64_t ino)
{
	struct fs_inode *inode;
	int known = 0;

	pthread_mutex_lock(&fs->lock);
	inode = fs_inode(fs, ino);
	if (inode) {
		known = inode->refs != 0;
		inode->gone = 1;
		free_if_unused(fs, ino, inode);
	}
	pthread_mutex_unlock(&fs->lock);
	return known;
}

static int notify(struct fs *fs, int code, const void *what, size_t size, const char *name)
{
	size_t length = name ? strlen(name) + 1 : 0;
	struct fuse_out_header head = { .len = sizeof(head) + size + length, .error = code };
	struct iovec parts[] = { { &head, sizeof(head) }, { (void *)what, size }, { (void *)name, length } };

	return writev(fs->fd, parts, name ? 3 : 2) < 0 ? -errno : 0;
}

/*
 * Make the kernel forget that ``name`` in ``parent`` leads to ``ino``. Waits until nobody looks a name up in ``parent``
 * any more, so another thread must serve meanwhile. -ENOENT: it did not know the name.
 */
EXPORT int damon_fuse_forget(struct fs *fs, uint64_t parent, const char *name, uint64_t ino)
{
	struct fuse_notify_inval_entry_out entry = { .parent = parent, .namelen = strlen(name) };
	struct fuse_notify_inval_inode_out attributes = { .ino = ino, .off = -1 };
	struct fs_inode *inode;
	int result = notify(fs, FUSE_NOTIFY_INVAL_ENTRY, &entry, sizeof(entry), name), directory = 0;

	pthread_mutex_lock(&fs->lock);
	inode = fs_inode(fs, ino);
	if (inode && inode->gone) {
		inode->told = 1;
		directory = S_ISDIR(inode->mode);
	}
	pthread_mutex_unlock(&fs->lock);
	if (directory) /* who has it open asks again: libc takes an error of reading it for its end */
		notify(fs, FUSE_NOTIFY_INVAL_INODE, &attributes, sizeof(attributes), NULL);
	return result;
}
