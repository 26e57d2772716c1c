// SPDX-License-Identifier: GPL-2.0-only
/*
 * Actions on folios by way of the processes that map them, and advice on another process's memory.
 *
 * process_madvise() takes a pidfd, process_vm_readv() a number: a target is opened through one directory descriptor of
 * /proc, which stays with the process, and pagemap has to show the page at its address before anything is done.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "linux.h"

#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif
#ifndef SYS_pidfd_send_signal
#define SYS_pidfd_send_signal 424
#endif
#ifndef SYS_process_madvise
#define SYS_process_madvise 440
#endif
#ifndef MADV_COLD
#define MADV_COLD 20
#endif
#ifndef MADV_PAGEOUT
#define MADV_PAGEOUT 21
#endif

#define MAX_IOVECS 1024		 /* UIO_MAXIOV */
#define MAX_BYTES 0x7ffff000ull /* MAX_RW_COUNT: more is cut off silently */

static ssize_t give_advice(struct lx_files *files, int pidfd, const struct iovec *iov, size_t nr, int advice)
{
	lx_count(files, LX_PROCESS_MADVISE);
	return syscall(SYS_process_madvise, pidfd, iov, nr, advice, 0);
}

/* Advice on [start, start + length) as one madvise(2) would take it: 0 or a negative errno. */
EXPORT int linux_madvise(struct lx_files *files, int pidfd, uint64_t start, uint64_t length, int advice)
{
	int result = 0;

	while (length) {
		uint64_t part = length < MAX_BYTES ? length : MAX_BYTES;
		struct iovec iov = { (void *)(uintptr_t)start, part };
		ssize_t done = give_advice(files, pidfd, &iov, 1, advice);

		if (done < 0) {
			if (errno == EINTR)
				continue;
			result = -errno;
			if (errno != ENOMEM) /* madvise(2) goes on behind a hole, and says ENOMEM at the end */
				return result;
		}
		start += part;
		length -= part;
	}
	return result;
}

/* Whether the process behind pidfd exists (a zombie does); 0 or a negative errno. */
EXPORT int linux_pidfd_alive(int pidfd)
{
	if (!syscall(SYS_pidfd_send_signal, pidfd, 0, NULL, 0) || errno == EPERM)
		return 0;
	return -errno;
}

static int out_of_reach(int err)
{
	return err == ESRCH || err == EPERM || err == EBADF || err == ENOSYS;
}

/* A range was refused, for one page of it perhaps (locked meanwhile): halve it until only such pages are left out. */
static int advise_parts(struct lx_files *files, int pidfd, struct iovec range, int advice)
{
	size_t half = range.iov_len / 2 / LX_PAGE_SIZE * LX_PAGE_SIZE;
	struct iovec parts[2] = { { range.iov_base, half }, { (char *)range.iov_base + half, range.iov_len - half } };

	if (!half)
		return 0;
	for (int i = 0; i < 2; i++) {
		if (give_advice(files, pidfd, &parts[i], 1, advice) >= 0)
			continue;
		if (out_of_reach(errno))
			return -errno;
		int err = advise_parts(files, pidfd, parts[i], advice);
		if (err)
			return err;
	}
	return 0;
}

/* Advice on many ranges, pages that are refused left out. 0, or a negative errno when the process is out of reach. */
static int advise(struct lx_files *files, int pidfd, const struct iovec *iov, size_t nr, int advice)
{
	while (nr) {
		size_t take = 0;
		uint64_t bytes = 0, passed = 0;
		ssize_t done;
		int err;

		while (take < nr && take < MAX_IOVECS && bytes + iov[take].iov_len <= MAX_BYTES)
			bytes += iov[take++].iov_len;
		done = give_advice(files, pidfd, iov, take, advice);
		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0 && out_of_reach(errno))
			return -errno;
		if (done < (ssize_t)bytes) {
			for (take = 0; done > 0 && passed + iov[take].iov_len <= (uint64_t)done; take++)
				passed += iov[take].iov_len;
			err = advise_parts(files, pidfd, iov[take++], advice);
			if (err)
				return err;
		}
		iov += take;
		nr -= take;
	}
	return 0;
}

/*
 * Read a byte of each page twice: an inactive page becomes referenced, then active. A page that can't be read is
 * skipped. The process goes by its number here, so pidfd has to be alive still when all is done: else nothing counts.
 */
static uint64_t touch(struct lx_files *files, int32_t pid, int pidfd, const struct lx_key *pages, size_t nr)
{
	static const size_t step = MAX_IOVECS / 2;
	char bytes[MAX_IOVECS];
	struct iovec local = { bytes, sizeof(bytes) }, remote[MAX_IOVECS];
	uint64_t touched = 0;

	while (nr) {
		size_t take = nr < step ? nr : step;
		ssize_t done;

		for (size_t i = 0; i < take; i++) {
			struct iovec byte = { (void *)(uintptr_t)(pages[i].key << LX_PAGE_SHIFT), 1 };

			remote[2 * i] = remote[2 * i + 1] = byte;
		}
		lx_count(files, LX_PROCESS_VM_READV);
		done = syscall(SYS_process_vm_readv, pid, &local, 1, remote, 2 * take, 0);
		if (done < 0) {
			if (errno == EINTR)
				continue;
			if (errno != EFAULT)
				break;
			done = 0;
		}
		touched += (size_t)done / 2;
		take = (size_t)done / 2 < take ? (size_t)done / 2 + 1 : take;
		pages += take;
		nr -= take;
	}
	return linux_pidfd_alive(pidfd) ? 0 : touched;
}

/* Adjacent pages in one range each. */
static size_t ranges(const struct lx_key *pages, size_t nr, struct iovec *iov)
{
	size_t found = 0;

	for (size_t i = 0; i < nr; i++) {
		uint64_t start = pages[i].key << LX_PAGE_SHIFT;

		if (found && (uint64_t)(uintptr_t)iov[found - 1].iov_base + iov[found - 1].iov_len == start &&
		    iov[found - 1].iov_len < MAX_BYTES)
			iov[found - 1].iov_len += LX_PAGE_SIZE;
		else
			iov[found++] = (struct iovec){ (void *)(uintptr_t)start, LX_PAGE_SIZE };
	}
	return found;
}

/* Long: what it opens is closed in one place, whatever failed before. */
static void act_on_process(struct lx_files *files, int32_t pid, int action, const struct damon_folio *folios,
			   struct lx_key *pages, size_t nr, struct lx_key *scratch, uint64_t *entries,
			   struct lx_result *result)
{
	struct iovec *iov = (struct iovec *)scratch;
	int dir, pidfd = -1, pagemap = -1;
	char name[16];

	_Static_assert(sizeof(struct iovec) <= sizeof(struct lx_key), "ranges fit in the scratch array");
	for (size_t i = 0; i < nr; i++)
		pages[i].key &= LX_VPN_MASK;
	snprintf(name, sizeof(name), "%d", pid);
	dir = openat(files->proc, name, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dir >= 0)
		pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (pidfd >= 0) /* opens only if dir's process still is: so the number was its own in between */
		pagemap = openat(dir, "pagemap", O_RDONLY | O_CLOEXEC);
	__atomic_fetch_add(&files->calls[LX_OPEN], 3, __ATOMIC_RELAXED);
	if (pagemap < 0) {
		result->stale += nr;
		goto out;
	}
	nr = linux_verify(files, pagemap, folios, pages, nr, action, entries, result);
	if (!nr)
		goto out;
	if (action == LX_ACTIVATE) {
		result->acted += touch(files, pid, pidfd, pages, nr);
	} else if (action == LX_MIGRATE) {
		lx_migrate(files, pid, pidfd, folios, pages, nr, result);
	} else if (!advise(files, pidfd, iov, ranges(pages, nr, iov),
			   action == LX_PAGEOUT ? MADV_PAGEOUT : MADV_COLD)) {
		result->acted += nr;
		if (action == LX_PAGEOUT)
			result->left += linux_count_left(files, pagemap, folios, pages, nr, scratch, entries);
	}
out:
	if (pagemap >= 0)
		close(pagemap);
	if (pidfd >= 0)
		close(pidfd);
	if (dir >= 0)
		close(dir);
}

/*
 * (De)activated pages wait in a batch of this CPU, up to 31, before they change lists. Advice on a page of our own
 * drains it. What waits in another CPU's batch (this thread was moved meanwhile) follows when that one fills or drains.
 */
EXPORT int linux_drain(struct lx_files *files)
{
	void *page = mmap(NULL, LX_PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int err;

	if (page == MAP_FAILED)
		return -errno;
	lx_count(files, LX_PROCESS_MADVISE);
	err = madvise(page, LX_PAGE_SIZE, MADV_COLD) ? -errno : 0;
	munmap(page, LX_PAGE_SIZE);
	return err;
}

/* One action on the passing folios; result adds up. Its missing and stale pages tell when to read the map anew. */
EXPORT int linux_act(struct lx_files *files, const struct lx_rmap *rmap, const struct damon_folio *folios, uint32_t nr,
		     int action, struct lx_result *result)
{
	size_t capacity = 0, found;
	struct lx_key *pages, *scratch;
	uint64_t *entries;
	int err = -ENOMEM;

	for (uint32_t i = 0; i < nr; i++)
		if (folios[i].flags & FOLIO_PASS)
			capacity += action == LX_ACTIVATE || action == LX_MIGRATE ? 1 : folios[i].nr_pages;
	if (!capacity)
		return 0;
	pages = malloc(capacity * sizeof(*pages));
	scratch = malloc(capacity * sizeof(*scratch));
	entries = malloc(capacity * sizeof(*entries));
	if (!pages || !scratch || !entries)
		goto out;
	found = linux_rmap_lookup(rmap, folios, nr, action, pages, capacity, result);
	lx_sort(pages, scratch, found);
	for (size_t i = 0, end; i < found; i = end) {
		uint64_t process = pages[i].key >> LX_VPN_BITS;

		for (end = i + 1; end < found && pages[end].key >> LX_VPN_BITS == process; end++)
			;
		act_on_process(files, rmap->pids[process - 1], action, folios, pages + i, end - i, scratch, entries,
			       result);
	}
	if ((action == LX_ACTIVATE || action == LX_DEACTIVATE) && found)
		linux_drain(files);
	err = 0;
out:
	free(pages);
	free(scratch);
	free(entries);
	return err;
}
