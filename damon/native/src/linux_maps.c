// SPDX-License-Identifier: GPL-2.0-only
/* /proc/PID/maps, and small facts of the system. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "linux.h"

/* Hexadecimal digits at *at, which moves behind them; -1: none there. */
static int hex(const char **at, const char *end, uint64_t *value)
{
	const char *p = *at;

	for (*value = 0; p < end; p++) {
		int digit = *p >= '0' && *p <= '9' ? *p - '0' : *p >= 'a' && *p <= 'f' ? *p - 'a' + 10 : -1;

		if (digit < 0)
			break;
		*value = *value << 4 | (uint64_t)digit;
	}
	if (p == *at)
		return -1;
	*at = p;
	return 0;
}

/* One line: its range, *at behind it. 0: none, [vsyscall] for example, which is no mapping of the process. */
static int range(const char **at, const char *end, uint64_t *first, uint64_t *last)
{
	return !hex(at, end, first) && *at < end && *(*at)++ == '-' && !hex(at, end, last) && *last >> 63 == 0;
}

EXPORT size_t linux_maps_parse(const char *text, size_t length, uint64_t *out, size_t capacity)
{
	const char *at = text, *end = text + length;
	size_t nr = 0;

	while (at < end) {
		const char *line_end = memchr(at, '\n', (size_t)(end - at));
		uint64_t first, last;

		if (!line_end)
			line_end = end;
		if (range(&at, line_end, &first, &last)) {
			if (nr < capacity) {
				out[2 * nr] = first;
				out[2 * nr + 1] = last;
			}
			nr++;
		}
		at = line_end + 1;
	}
	return nr;
}

/* " rw-p 00012000 08:01 1234 name" behind a range: the offset, and whether there is a file (its inode is not 0). */
static int file_offset(const char *at, const char *end, uint64_t *offset)
{
	for (int words = 0; words < 2; words++) { /* permissions; then the offset is next */
		while (at < end && *at != ' ')
			at++;
		at += at < end;
	}
	if (hex(&at, end, offset))
		return 0;
	for (int words = 0; words < 2; words++) { /* the device; then the inode is next */
		while (at < end && *at != ' ')
			at++;
		at += at < end;
	}
	return at < end && *at >= '1' && *at <= '9';
}

EXPORT size_t linux_mappings_parse(const char *text, size_t length, uint64_t *out, size_t capacity)
{
	const char *at = text, *end = text + length;
	size_t nr = 0;

	while (at < end) {
		const char *line_end = memchr(at, '\n', (size_t)(end - at));
		uint64_t first, last, offset;

		if (!line_end)
			line_end = end;
		if (range(&at, line_end, &first, &last)) {
			if (nr < capacity) {
				out[3 * nr] = first >> LX_PAGE_SHIFT;
				out[3 * nr + 1] = last >> LX_PAGE_SHIFT;
				out[3 * nr + 2] =
					(file_offset(at, line_end, &offset) ? offset : first) >> LX_PAGE_SHIFT;
			}
			nr++;
		}
		at = line_end + 1;
	}
	return nr;
}

ssize_t lx_slurp(struct lx_files *files, int dir, const char *name, struct lx_buf *buf)
{
	int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
	size_t length = 0;

	lx_count(files, LX_OPEN);
	if (fd < 0)
		return -errno;
	if (!lx_reserve(buf, 1 << 16))
		goto fail;
	for (;;) {
		ssize_t got;

		if (buf->size - length < 8192) {
			char *rows = realloc(buf->rows, 2 * buf->size);

			if (!rows)
				goto fail;
			buf->rows = rows;
			buf->size *= 2;
		}
		got = read(fd, (char *)buf->rows + length, buf->size - length - 1);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			break; /* ESRCH half-way: the process has exited, what was read stands */
		length += (size_t)got;
	}
	close(fd);
	((char *)buf->rows)[length] = 0;
	return (ssize_t)length;
fail:
	close(fd);
	return -ENOMEM;
}

/* The mappings of the process behind dir (an open /proc/PID), as linux_maps_parse() has them; a negative errno. */
EXPORT ssize_t linux_maps_read(struct lx_files *files, int dir, uint64_t *out, size_t capacity)
{
	struct lx_buf buf = { NULL, 0 };
	ssize_t length = lx_slurp(files, dir, "maps", &buf);

	if (length >= 0)
		length = (ssize_t)linux_maps_parse(buf.rows, (size_t)length, out, capacity);
	free(buf.rows);
	return length;
}

/* Free and total pages. */
EXPORT int linux_free_mem(uint64_t *out)
{
	struct sysinfo info;

	if (sysinfo(&info))
		return -errno;
	out[0] = (uint64_t)info.freeram * info.mem_unit / LX_PAGE_SIZE;
	out[1] = (uint64_t)info.totalram * info.mem_unit / LX_PAGE_SIZE;
	return 0;
}
