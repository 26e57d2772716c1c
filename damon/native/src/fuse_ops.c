// SPDX-License-Identifier: GPL-2.0-only
/* What the kernel asks, one routine a request. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fuse.h"

static int init(struct fs_request *rq)
{
	const struct fuse_init_in *arg = rq->arg;
	struct fuse_init_out *out = rq->reply;

	if (arg->major != FUSE_KERNEL_VERSION || arg->minor < 23)
		return -EPROTO;
	memset(out, 0, sizeof(*out));
	out->major = FUSE_KERNEL_VERSION;
	out->minor = arg->minor < FUSE_KERNEL_MINOR_VERSION ? arg->minor : FUSE_KERNEL_MINOR_VERSION;
	out->flags = arg->flags & (FUSE_ASYNC_READ | FUSE_ATOMIC_O_TRUNC | FUSE_BIG_WRITES | FUSE_DO_READDIRPLUS |
				   FUSE_PARALLEL_DIROPS | FUSE_MAX_PAGES);
	out->max_readahead = arg->max_readahead;
	out->max_background = 64;
	out->congestion_threshold = 48;
	out->max_write = FS_MAX_WRITE;
	out->max_pages = FS_MAX_WRITE / FS_PAGE;
	out->time_gran = 1;
	return sizeof(*out);
}

static int lookup(struct fs_request *rq)
{
	struct fs_inode *inode;
	int64_t ino = rq->fs->calls.lookup(rq->in->nodeid, rq->arg);
	int size = -ENOENT;

	if (ino < 0)
		return ino;
	pthread_mutex_lock(&rq->fs->lock);
	inode = fs_inode(rq->fs, ino);
	if (inode) {
		fs_entry(rq->fs, ino, inode, rq->reply);
		size = sizeof(struct fuse_entry_out);
	}
	pthread_mutex_unlock(&rq->fs->lock);
	return size;
}

static int forget(struct fs_request *rq)
{
	const struct fuse_forget_in *one = rq->arg;
	const struct fuse_batch_forget_in *batch = rq->arg;
	const struct fuse_forget_one *each = (const void *)(batch + 1);

	pthread_mutex_lock(&rq->fs->lock);
	if (rq->in->opcode == FUSE_FORGET)
		fs_put(rq->fs, rq->in->nodeid, one->nlookup);
	else
		for (uint32_t i = 0; i < batch->count; i++)
			fs_put(rq->fs, each[i].nodeid, each[i].nlookup);
	pthread_mutex_unlock(&rq->fs->lock);
	return FS_SILENT;
}

/* Of what is open also when it has gone, as in the kernel. */
static int attributes(struct fs_request *rq, int open)
{
	struct fuse_attr_out *out = rq->reply;
	int error;

	memset(out, 0, sizeof(*out));
	out->attr_valid = FS_NEVER;
	pthread_mutex_lock(&rq->fs->lock);
	error = fs_missing(rq->fs, rq->in->nodeid);
	if (open && fs_inode(rq->fs, rq->in->nodeid))
		error = 0;
	if (!error)
		fs_attr(rq->fs, rq->in->nodeid, fs_inode(rq->fs, rq->in->nodeid), &out->attr);
	pthread_mutex_unlock(&rq->fs->lock);
	return error ? error : (int)sizeof(*out);
}

static int getattr(struct fs_request *rq)
{
	const struct fuse_getattr_in *arg = rq->arg;

	return attributes(rq, arg->getattr_flags & FUSE_GETATTR_FH);
}

/* To be overwritten: nothing to do. Times stay those of the start. */
static int setattr(struct fs_request *rq)
{
	const struct fuse_setattr_in *arg = rq->arg;

	if (arg->valid & (FATTR_MODE | FATTR_UID | FATTR_GID))
		return -EPERM;
	return attributes(rq, arg->valid & FATTR_FH);
}

/* 0, or why ``ino`` cannot be used for ``wanted`` (0400, 0200). */
static int refusal(struct fs *fs, uint64_t ino, uint32_t wanted, int directory)
{
	const struct fs_inode *inode;
	int error;

	pthread_mutex_lock(&fs->lock);
	inode = fs_inode(fs, ino);
	error = fs_missing(fs, ino);
	if (!error && S_ISDIR(inode->mode))
		error = directory ? 0 : -EISDIR;
	else if (!error && (inode->mode & wanted) != wanted)
		error = -EACCES;
	pthread_mutex_unlock(&fs->lock);
	return error;
}

static int access_(struct fs_request *rq)
{
	const struct fuse_access_in *arg = rq->arg;

	return refusal(rq->fs, rq->in->nodeid, arg->mask & W_OK ? 0200 : 0, 1);
}

static int open_(struct fs_request *rq)
{
	static const uint32_t wanted[] = { [O_RDONLY] = 0400, [O_WRONLY] = 0200, [O_RDWR] = 0600, [O_ACCMODE] = 0600 };
	const struct fuse_open_in *arg = rq->arg;
	struct fuse_open_out *out = rq->reply;
	struct fs_file *file;
	int error = refusal(rq->fs, rq->in->nodeid, wanted[arg->flags & O_ACCMODE], 0);

	if (error)
		return error;
	file = malloc(sizeof(*file));
	if (!file)
		return -ENOMEM;
	file->ino = rq->in->nodeid;
	file->size = 0;
	pthread_mutex_lock(&rq->fs->lock);
	rq->fs->open_files++;
	pthread_mutex_unlock(&rq->fs->lock);
	memset(out, 0, sizeof(*out));
	out->fh = (uintptr_t)file;
	out->open_flags = FOPEN_DIRECT_IO | FOPEN_NOFLUSH;
	return sizeof(*out);
}

void fs_close_file(struct fs *fs, uint64_t fh)
{
	free((void *)(uintptr_t)fh);
	pthread_mutex_lock(&fs->lock);
	fs->open_files--;
	pthread_mutex_unlock(&fs->lock);
}

static int release(struct fs_request *rq)
{
	const struct fuse_release_in *arg = rq->arg;

	if (rq->in->opcode == FUSE_RELEASE)
		fs_close_file(rq->fs, arg->fh);
	else
		fs_close_listing(rq->fs, arg->fh);
	return 0;
}

static int is_gone(struct fs *fs, uint64_t ino)
{
	int gone;

	pthread_mutex_lock(&fs->lock);
	gone = fs_missing(fs, ino) != 0;
	pthread_mutex_unlock(&fs->lock);
	return gone;
}

static int read_(struct fs_request *rq)
{
	const struct fuse_read_in *arg = rq->arg;
	struct fs_file *file = (struct fs_file *)(uintptr_t)arg->fh;
	uint32_t size;

	if (is_gone(rq->fs, file->ino))
		return -ENODEV;
	if (!arg->offset) { /* from the start is anew, however often */
		int shown = rq->fs->calls.show(file->ino, file->text);

		file->size = shown < 0 ? 0 : shown;
		if (shown < 0)
			return shown;
	}
	if (arg->offset >= file->size)
		return 0;
	size = file->size - arg->offset;
	if (size > arg->size)
		size = arg->size;
	memcpy(rq->reply, file->text + arg->offset, size);
	return size;
}

static int write_(struct fs_request *rq)
{
	const struct fuse_write_in *arg = rq->arg;
	struct fuse_write_out *out = rq->reply;
	struct fs_file *file = (struct fs_file *)(uintptr_t)arg->fh;
	int taken;

	if (is_gone(rq->fs, file->ino))
		return -ENODEV;
	taken = rq->fs->calls.store(file->ino, (const char *)(arg + 1), arg->size);
	if (taken < 0)
		return taken;
	memset(out, 0, sizeof(*out));
	out->size = taken;
	return sizeof(*out);
}

static int statfs_(struct fs_request *rq)
{
	struct fuse_statfs_out *out = rq->reply;

	memset(out, 0, sizeof(*out));
	out->st.bsize = out->st.frsize = FS_PAGE;
	out->st.namelen = 255;
	return sizeof(*out);
}

/* Long: a branch for each operation that the kernel asks for. */
int fs_serve(struct fs_request *rq)
{
	switch (rq->in->opcode) {
	case FUSE_INIT:
		return init(rq);
	case FUSE_LOOKUP:
		return lookup(rq);
	case FUSE_FORGET:
	case FUSE_BATCH_FORGET:
		return forget(rq);
	case FUSE_GETATTR:
		return getattr(rq);
	case FUSE_SETATTR:
		return setattr(rq);
	case FUSE_ACCESS:
		return access_(rq);
	case FUSE_OPEN:
		return open_(rq);
	case FUSE_READ:
		return read_(rq);
	case FUSE_WRITE:
		return write_(rq);
	case FUSE_RELEASE:
	case FUSE_RELEASEDIR:
		return release(rq);
	case FUSE_OPENDIR:
		return fs_opendir(rq);
	case FUSE_READDIR:
		return fs_readdir(rq, 0);
	case FUSE_READDIRPLUS:
		return fs_readdir(rq, 1);
	case FUSE_STATFS:
		return statfs_(rq);
	case FUSE_CREATE:
		return -EACCES;
	case FUSE_MKNOD:
	case FUSE_MKDIR:
	case FUSE_UNLINK:
	case FUSE_RMDIR:
	case FUSE_SYMLINK:
	case FUSE_LINK:
	case FUSE_RENAME:
	case FUSE_RENAME2:
		return -EPERM;
	case FUSE_DESTROY:
		return 0;
	default: /* the kernel does without, and remembers that of most */
		return -ENOSYS;
	}
}
