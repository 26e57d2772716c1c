// SPDX-License-Identifier: GPL-2.0-only
/* Open directories: what was listed when reading began, each name with its node, so that a walk asks for no name. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "damon.h"
#include "fuse.h"

/* As Python packs it (fusefs.py): followed by the name, without an end. */
struct packed {
	uint64_t ino; /* 0: not made yet; only its name and type are told */
	uint32_t mode;
	uint32_t length;
};

struct fs_listing {
	uint64_t ino;
	uint32_t nr;
	size_t *starts; /* of each entry in blob */
	char *blob;
};

/* The name of entry ``index``; what is before it in ``head``. */
static const char *entry_of(const struct fs_listing *listing, uint64_t index, struct packed *head)
{
	const char *at = listing->blob + listing->starts[index];

	memcpy(head, at, sizeof(*head));
	return at + sizeof(*head);
}

static void empty(struct fs *fs, struct fs_listing *listing)
{
	pthread_mutex_lock(&fs->lock);
	for (uint32_t i = 0; i < listing->nr; i++) {
		struct packed head;

		entry_of(listing, i, &head);
		if (head.ino)
			fs_put(fs, head.ino, 1);
	}
	pthread_mutex_unlock(&fs->lock);
	free(listing->starts);
	free(listing->blob);
	listing->starts = NULL;
	listing->blob = NULL;
	listing->nr = 0;
}

/*
 * Fill ``listing`` with ``nr`` packed entries, ``size`` bytes in all; nodes that they name are held until it is
 * emptied. To be called by calls.list(), while no node can leave the tree.
 */
EXPORT int damon_fuse_list(struct fs *fs, struct fs_listing *listing, const char *entries, size_t size, uint32_t nr)
{
	size_t at = 0;

	listing->starts = malloc((nr + 1) * sizeof(*listing->starts));
	listing->blob = malloc(size + 1);
	if (!listing->starts || !listing->blob)
		return -ENOMEM;
	memcpy(listing->blob, entries, size);
	pthread_mutex_lock(&fs->lock);
	for (uint32_t i = 0; i < nr; i++) {
		struct packed head;
		struct fs_inode *inode;

		memcpy(&head, listing->blob + at, sizeof(head));
		listing->starts[i] = at;
		at += sizeof(head) + head.length;
		inode = fs_inode(fs, head.ino);
		if (inode)
			inode->refs++;
	}
	pthread_mutex_unlock(&fs->lock);
	listing->nr = nr;
	return 0;
}

int fs_opendir(struct fs_request *rq)
{
	struct fuse_open_out *out = rq->reply;
	struct fs_listing *listing;
	const struct fs_inode *inode;
	int error;

	pthread_mutex_lock(&rq->fs->lock);
	inode = fs_inode(rq->fs, rq->in->nodeid);
	error = fs_missing(rq->fs, rq->in->nodeid);
	if (!error && !S_ISDIR(inode->mode))
		error = -ENOTDIR;
	pthread_mutex_unlock(&rq->fs->lock);
	if (error)
		return error;
	listing = calloc(1, sizeof(*listing));
	if (!listing)
		return -ENOMEM;
	listing->ino = rq->in->nodeid;
	memset(out, 0, sizeof(*out));
	out->fh = (uintptr_t)listing;
	return sizeof(*out);
}

void fs_close_listing(struct fs *fs, uint64_t fh)
{
	struct fs_listing *listing = (struct fs_listing *)(uintptr_t)fh;

	empty(fs, listing);
	free(listing);
}

/* One entry at ``at``; its size, or 0 when ``room`` is too small. */
static size_t add(struct fs *fs, char *at, size_t room, int plus, uint64_t ino, uint32_t mode, const char *name,
		  uint32_t length, uint64_t next)
{
	size_t head = plus ? FUSE_NAME_OFFSET_DIRENTPLUS : FUSE_NAME_OFFSET;
	size_t size = FUSE_DIRENT_ALIGN(head + length);
	struct fuse_dirent *entry = (void *)at;

	if (size > room)
		return 0;
	memset(at, 0, size);
	if (plus) {
		struct fuse_direntplus *more = (void *)at;
		struct fs_inode *inode = fs_inode(fs, ino);

		entry = &more->dirent;
		if (inode && !inode->gone) {
			fs_entry(fs, ino, inode, &more->entry_out);
			inode->refs++;
		}
	}
	entry->ino = ino ? ino : UINT32_MAX; /* 0 would be a deleted entry to those who read */
	entry->off = next;
	entry->namelen = length;
	entry->type = (mode & S_IFMT) >> 12;
	memcpy(entry->name, name, length);
	return size;
}

int fs_readdir(struct fs_request *rq, int plus)
{
	const struct fuse_read_in *arg = rq->arg;
	struct fs_listing *listing = (struct fs_listing *)(uintptr_t)arg->fh;
	size_t room = arg->size < FS_MAX_WRITE ? arg->size : FS_MAX_WRITE, used = 0;
	int error;

	if (!arg->offset) { /* from the start is anew */
		empty(rq->fs, listing);
		error = rq->fs->calls.list(listing->ino, listing);
		if (error)
			return error;
	}
	pthread_mutex_lock(&rq->fs->lock);
	for (uint64_t i = arg->offset; i < listing->nr + 2ull; i++) {
		size_t size;

		if (i < 2) {
			size = add(rq->fs, (char *)rq->reply + used, room - used, plus, 0, S_IFDIR, "..", i + 1, i + 1);
		} else {
			struct packed head;
			const char *name = entry_of(listing, i - 2, &head);

			size = add(rq->fs, (char *)rq->reply + used, room - used, plus, head.ino, head.mode, name,
				   head.length, i + 1);
		}
		if (!size)
			break;
		used += size;
	}
	pthread_mutex_unlock(&rq->fs->lock);
	return used;
}
