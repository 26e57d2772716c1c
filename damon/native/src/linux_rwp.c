// SPDX-License-Identifier: GPL-2.0-only
/*
 * Accesses seen by read-write protection, of Linux 7.3 (Documentation/admin-guide/mm/userfaultfd.rst): a page that is
 * protected becomes inaccessible, and the first access, of whatever kind, restores it in the kernel. No accessed bit
 * takes part, so no entry of a TLB hides an access. Reading what was accessed changes nothing.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "linux.h"

/* include/uapi/linux/userfaultfd.h of 7.3, which older headers lack. */
#define API 0xaaull
#define FEATURE_RWP (1ull << 17)
#define FEATURE_RWP_ASYNC (1ull << 18)
#define REGISTER_MODE_RWP (1ull << 3)
#define RWPROTECT_MODE_RWP 1ull
#define USER_MODE_ONLY 1

struct api {
	uint64_t api, features, ioctls;
};

struct registration {
	uint64_t start, len, mode, ioctls;
};

struct protection {
	uint64_t start, len, mode;
};

#define API_IOCTL _IOWR(0xaa, 0x3f, struct api)
#define REGISTER_IOCTL _IOWR(0xaa, 0x00, struct registration)
#define RWPROTECT_IOCTL _IOWR(0xaa, 0x09, struct protection)

#define PMD_SIZE (1ull << 21)
#define PUD_SIZE (1ull << 30)
#define NR_RANGES 128
/* Pages between two samples that cost less to scan than a system call does. */
#define GAP 96
#define TRIES 8

/* 0 if this kernel has it, else a negative errno; EOPNOTSUPP: it has userfaultfd(2) without it. */
EXPORT int linux_rwp_there(void)
{
	struct api api = { .api = API };
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | USER_MODE_ONLY), result;

	if (fd < 0)
		return -errno;
	result = ioctl(fd, API_IOCTL, &api) ? -errno : 0;
	close(fd);
	if (!result && (~api.features & (FEATURE_RWP | FEATURE_RWP_ASYNC)))
		result = -EOPNOTSUPP;
	return result;
}

/* Make a fresh descriptor one of read-write protection that the kernel resolves by itself. 0 or a negative errno. */
EXPORT int linux_rwp_enable(int fd)
{
	struct api api = { .api = API, .features = FEATURE_RWP | FEATURE_RWP_ASYNC };

	return ioctl(fd, API_IOCTL, &api) ? -errno : 0;
}

/* Let the mappings in a range be protected. 0 or a negative errno; a range that is registered already is fine. */
EXPORT int linux_rwp_register(int fd, uint64_t start, uint64_t end)
{
	struct registration range = { start, end - start, REGISTER_MODE_RWP, 0 };

	return ioctl(fd, REGISTER_IOCTL, &range) ? -errno : 0;
}

/* Protect the present pages of a range; 0 or a negative errno. EAGAIN: mappings are being changed, again and again. */
static int protect(struct lx_files *files, int fd, uint64_t start, uint64_t end)
{
	struct protection range = { start, end - start, RWPROTECT_MODE_RWP };
	int result = -EAGAIN;

	for (int tries = 0; tries < TRIES && result == -EAGAIN; tries++) {
		lx_count(files, LX_RWPROTECT);
		result = ioctl(fd, RWPROTECT_IOCTL, &range) ? -errno : 0;
	}
	return result;
}

/* A page of hugetlbfs is protected whole; how big it is shows by what the kernel takes. */
static int protect_huge(struct lx_files *files, int fd, uint64_t start, uint64_t end)
{
	int result = protect(files, fd, start, end);

	if (result == -EINVAL)
		result = protect(files, fd, start & ~(PUD_SIZE - 1), (start & ~(PUD_SIZE - 1)) + PUD_SIZE);
	return result;
}

/* The ranges of a process's memory in [*start, end) that are of a category; *start moves behind what was looked at. */
static int scan(struct lx_files *files, int fd, uint64_t *start, uint64_t end, uint64_t category,
		struct lx_scan_range *out, uint64_t nr)
{
	struct lx_scan arg = { .size = sizeof(arg),
			       .start = *start,
			       .end = end,
			       .vec = (uint64_t)out,
			       .vec_len = nr,
			       .category_mask = category,
			       .return_mask = category };
	int found;

	lx_count(files, LX_PAGEMAP_SCAN);
	found = ioctl(fd, LX_SCAN_IOCTL, &arg);
	if (found < 0)
		return -errno;
	*start = arg.walk_end > *start ? arg.walk_end : end;
	return found;
}

/*
 * Which of keys[0..nr), pages in ascending order, are of a category: aux := 1, else it stays. Pages near each other are
 * asked about in one call. 0 or a negative errno.
 */
static int mark(struct lx_files *files, int fd, struct lx_key *keys, size_t nr, uint64_t category)
{
	struct lx_scan_range ranges[NR_RANGES];

	for (size_t first = 0, last; first < nr; first = last) {
		uint64_t at = keys[first].key << LX_PAGE_SHIFT, end;
		size_t next = first;

		for (last = first + 1; last < nr && keys[last].key - keys[last - 1].key <= GAP; last++)
			;
		end = (keys[last - 1].key + 1) << LX_PAGE_SHIFT;
		while (at < end) {
			int found = scan(files, fd, &at, end, category, ranges, NR_RANGES);

			if (found < 0)
				return found;
			for (int n = 0; n < found; n++) {
				while (next < last && keys[next].key << LX_PAGE_SHIFT < ranges[n].start)
					next++;
				while (next < last && keys[next].key << LX_PAGE_SHIFT < ranges[n].end)
					keys[next++].aux = 1;
			}
		}
	}
	return 0;
}

enum {
	LX_UNSEEN,
	LX_BY_RWP,
	LX_OTHERWISE, /* mapped, and not to be registered */
};

/* The samples that are registered memory's, as pages in ascending order; how[i] := what they all are. */
static size_t choose(const struct lx_tracked *ranges, size_t nr_ranges, const uint64_t *addrs, uint32_t nr,
		     struct lx_key *keys, uint8_t *how)
{
	size_t left = 0, n = 0;

	memset(how, LX_UNSEEN, nr);
	for (uint32_t i = 0; i < nr; i++)
		keys[i] = (struct lx_key){ addrs[i] >> LX_PAGE_SHIFT, i, 0 };
	lx_sort(keys, keys + nr, nr);
	for (uint32_t i = 0; i < nr; i++) {
		uint64_t at = keys[i].key << LX_PAGE_SHIFT;

		while (n < nr_ranges && ranges[n].end <= at)
			n++;
		if (n == nr_ranges || ranges[n].start > at)
			continue;
		how[keys[i].row] = (uint8_t)ranges[n].how;
		if (ranges[n].how == LX_BY_RWP)
			keys[left++] = keys[i];
	}
	return left;
}

/* Is the memory there that pagemap was opened for? It goes when the process ends or executes another program. */
static int is_there(int pagemap)
{
	uint64_t entry;

	return pread(pagemap, &entry, sizeof(entry), 0) == sizeof(entry);
}

/*
 * Protect the pages of addrs[0..nr) in registered ranges (in ascending order); a page that a huge entry maps is
 * protected whole, as less would split it. how[i]: enum above; LX_BY_RWP only where young() can tell. The number of
 * samples whose mapping is registered no more, or a negative errno: ESRCH, the memory is gone.
 */
EXPORT int linux_rwp_mkold(struct lx_files *files, int fd, int pagemap, const struct lx_tracked *ranges,
			   uint64_t nr_ranges, const uint64_t *addrs, uint32_t nr, uint8_t *how)
{
	struct lx_key *keys = malloc(2 * (size_t)nr * sizeof(*keys) + 1);
	int result = 0, stale = 0, armed = 0;
	size_t left;

	if (!keys)
		return -ENOMEM;
	left = choose(ranges, nr_ranges, addrs, nr, keys, how);
	result = mark(files, pagemap, keys, left, LX_SCAN_HUGE | LX_SCAN_PRESENT);
	for (size_t i = 0, next; i < left && !result; i = next) {
		uint64_t start = keys[i].key << LX_PAGE_SHIFT, end = start + LX_PAGE_SIZE;
		int huge = (int)keys[i].aux, done;

		if (huge) {
			start &= ~(PMD_SIZE - 1);
			end = start + PMD_SIZE;
		}
		for (next = i + 1; next < left; next++) {
			uint64_t at = keys[next].key << LX_PAGE_SHIFT;

			if (at >= end && (huge || keys[next].aux || at > end))
				break;
			end = at >= end ? at + LX_PAGE_SIZE : end;
		}
		done = huge ? protect_huge(files, fd, start, end) : protect(files, fd, start, end);
		if (done == -ESRCH)
			result = done;
		stale += done ? (int)(next - i) : 0;
		armed |= !done;
		for (size_t n = i; n < next && done; n++)
			how[keys[n].row] = LX_UNSEEN;
	}
	free(keys);
	if (!result && !armed && nr && !is_there(pagemap))
		result = -ESRCH;
	return result ? result : stale;
}

/* out[i] := 1 for what linux_rwp_mkold() made old and was accessed since, else 0. 0 or a negative errno. */
EXPORT int linux_rwp_young(struct lx_files *files, int pagemap, const uint64_t *addrs, uint32_t nr, const uint8_t *how,
			   uint8_t *out)
{
	struct lx_key *keys = malloc(2 * (size_t)nr * sizeof(*keys) + 1);
	size_t left = 0;
	int result;

	memset(out, 0, nr);
	if (!keys)
		return -ENOMEM;
	for (uint32_t i = 0; i < nr; i++)
		if (how[i] == LX_BY_RWP)
			keys[left++] = (struct lx_key){ addrs[i] >> LX_PAGE_SHIFT, i, 0 };
	lx_sort(keys, keys + nr, left);
	result = mark(files, pagemap, keys, left, LX_SCAN_ACCESSED);
	for (size_t i = 0; i < left && !result; i++)
		out[keys[i].row] = (uint8_t)keys[i].aux;
	free(keys);
	return result;
}

/* Protect all present pages of a range; 0 or a negative errno. */
EXPORT int linux_rwp_protect(struct lx_files *files, int fd, uint64_t start, uint64_t end)
{
	return protect(files, fd, start, end);
}

/*
 * The ranges in [*start, end) that were accessed since they were protected, [start, end) each, capacity at most; their
 * number, or a negative errno. *start moves behind what was looked at.
 */
EXPORT int linux_rwp_accessed(struct lx_files *files, int pagemap, uint64_t *start, uint64_t end, uint64_t *out,
			      uint32_t capacity)
{
	struct lx_scan_range ranges[NR_RANGES];
	int found =
		scan(files, pagemap, start, end, LX_SCAN_ACCESSED, ranges, capacity < NR_RANGES ? capacity : NR_RANGES);

	for (int n = 0; n < found; n++) {
		out[2 * n] = ranges[n].start;
		out[2 * n + 1] = ranges[n].end;
	}
	return found;
}
