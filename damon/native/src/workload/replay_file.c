// SPDX-License-Identifier: GPL-2.0-only
/*
 * The trace files of a plan. They can come from anyone: as in damon/workload/tracefile/reader.py, a small one is copied
 * and checked as a whole, a big one is mapped and its tables are checked; what is used of it is checked again then.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../trace.h"
#include "process.h"

#define MAX_COPIED (64u << 20)

struct header {
	char magic[8];
	uint32_t format, size;
	uint64_t description, length, file_size;
	uint8_t zeros[24];
};

static int refuse(const struct file *f, const char *why, const char *remedy)
{
	char shown[80];
	size_t n = 0;

	for (const char *c = f->path; *c && n + 1 < sizeof(shown); c++)
		shown[n++] = *c >= ' ' && *c <= '~' ? *c : '?';
	shown[n] = '\0';
	fprintf(stderr, "damon-workload: trace: %s: %s; %s\n", shown, why, remedy);
	return -1;
}

/* All of a small file, as it is now. */
static uint8_t *copy(int fd, size_t size)
{
	uint8_t *to = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (to == MAP_FAILED)
		return to;
	for (size_t at = 0; at < size;) {
		ssize_t n = read(fd, to + at, size - at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			munmap(to, size);
			errno = n ? errno : EIO; /* it became shorter */
			return MAP_FAILED;
		}
		at += (size_t)n;
	}
	keep_in_memory(to, size);
	return to;
}

static int open_file(struct file *f)
{
	int fd = open(f->path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	struct stat st;
	void *data;

	if (fd < 0)
		return refuse(f, strerror(errno), "give a file that can be read");
	if (fstat(fd, &st) || !S_ISREG(st.st_mode) || (uint64_t)st.st_size < sizeof(struct header)) {
		close(fd);
		return refuse(f, "is no trace file", "make one with damon import");
	}
	f->size = (uint64_t)st.st_size;
	data = f->size > MAX_COPIED ? mmap(NULL, f->size, PROT_READ, MAP_PRIVATE, fd, 0) : copy(fd, f->size);
	close(fd);
	if (data == MAP_FAILED)
		return refuse(f, strerror(errno), "give a file that can be read");
	f->data = data;
	return 0;
}

static int check_header(const struct file *f)
{
	const struct header *h = (const struct header *)f->data;

	if (memcmp(h->magic, "DAMTRACE", 8) || h->format != 1 || h->size != sizeof(*h))
		return refuse(f, "is no trace file of format 1", "make one with damon import");
	if (h->file_size != f->size || h->description < sizeof(*h) || h->description > f->size ||
	    h->length != f->size - h->description)
		return refuse(f, "is not as long as it was made", "import the recording again");
	return 0;
}

static int check_windows(const struct plan *plan, const struct replay *r)
{
	const struct file *f = &plan->files[r->file];
	uint64_t limit = ((const struct header *)f->data)->description;
	char why[80];
	uint64_t wrong;

	if (!r->nr_windows)
		return 0;
	limit = limit < f->size ? limit : f->size; /* a mapped file can change */
	for (const struct replay *before = plan->replays; before < r; before++)
		if (before->file == r->file && before->table == r->table && before->nr_windows == r->nr_windows &&
		    before->space_pages == r->space_pages)
			return 0;
	if (r->table < sizeof(struct header) || r->table % 8 || r->table > limit ||
	    r->nr_windows > (limit - r->table) / sizeof(struct trace_window))
		return refuse(f, "is not the one that the plan was made of", "make the plan again");
	wrong = trace_check(f->data, f->size, r->table, r->nr_windows, 0, 0, r->space_pages, f->size <= MAX_COPIED);
	if (wrong == r->nr_windows)
		return 0;
	snprintf(why, sizeof(why), "window %lu is damaged", wrong);
	return refuse(f, why, "import the recording again");
}

int open_files(struct plan *plan)
{
	for (int i = 0; i < plan->nr_files; i++)
		if (open_file(&plan->files[i]) || check_header(&plan->files[i]))
			return -1;
	for (int i = 0; i < plan->nr_replays; i++)
		if (check_windows(plan, &plan->replays[i]))
			return -1;
	return 0;
}
