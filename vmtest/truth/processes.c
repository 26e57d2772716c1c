// SPDX-License-Identifier: GPL-2.0-only
/* Which processes there are, by /proc. */
#define _GNU_SOURCE
#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent.h"

static char text[1 << 20];

char *read_text(pid_t pid, const char *name)
{
	char path[64];
	size_t len = 0;
	ssize_t got;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return NULL;
	while (len < sizeof(text) - 1 && (got = read(fd, text + len, sizeof(text) - 1 - len)) > 0)
		len += (size_t)got;
	close(fd);
	text[len] = 0;
	return len ? text : NULL;
}

/* pid (name) state parent ... Field 22 is when it started, in ticks, and 28 where its stack does. */
static int read_stat(pid_t pid, struct stat_line *stat)
{
	char *line = read_text(pid, "stat"), *open, *close;
	int parent;
	unsigned long started, stack;

	if (!line || !(open = strchr(line, '(')) || !(close = strrchr(line, ')')))
		return -1;
	*close = 0;
	snprintf(stat->name, sizeof(stat->name), "%s", open + 1);
	for (char *c = stat->name; *c; c++)
		if (!isgraph((unsigned char)*c))
			*c = '_';
	if (sscanf(close + 1,
		   " %*c %d %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %lu %*s %*s %*s %*s "
		   "%*s %lu",
		   &parent, &started, &stack) != 3)
		return -1;
	stat->pid = pid;
	stat->parent = parent;
	stat->started = started;
	stat->stack = stack;
	return 0;
}

size_t later_processes(struct stat_line *stats, size_t most)
{
	const pid_t self = getpid();
	DIR *proc = opendir("/proc");
	struct dirent *entry;
	size_t nr = 0;

	while (proc && nr < most && (entry = readdir(proc))) {
		pid_t pid = isdigit((unsigned char)entry->d_name[0]) ? (pid_t)atoi(entry->d_name) : 0;

		nr += pid >= self && !read_stat(pid, &stats[nr]);
	}
	if (proc)
		closedir(proc);
	return nr;
}

int belongs(const struct stat_line *stats, size_t nr, size_t at, pid_t root)
{
	pid_t pid = stats[at].pid, self = getpid();

	for (int depth = 0; depth < 64; depth++) {
		size_t i = 0;

		if (pid == root)
			return 1;
		while (i < nr && stats[i].pid != pid)
			i++;
		if (i == nr || pid == self)
			return 0;
		if (stats[i].parent == self)
			return 1;
		pid = stats[i].parent;
	}
	return 0;
}
