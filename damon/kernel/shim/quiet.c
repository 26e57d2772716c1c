// SPDX-License-Identifier: GPL-2.0-only
/*
 * Time that passes in C. Between two calls to Python the machine may offer a stretch of its time in which nothing
 * happens but accesses and faults (damon/native/src/sample.h, damon/mm/ahead.py). In it sleeps and access checks need
 * no Python. Where there is none, or at its end, runtime.c and access.c ask Python as ever.
 */
#include "sample.h"
#include "shim.h"

struct shim_quiet {
	struct damon_time *time;
	int over;
};
static struct shim_quiet quiet;

/* Open a stretch, or close it with NULL. */
EXPORT void shim_set_quiet(struct damon_time *time)
{
	quiet.time = time;
	quiet.over = 0;
}

int shim_is_quiet(void)
{
	return quiet.time && !quiet.over;
}

/* When a timeout of so many ticks ends: Ticks.timeout_end_ns() of damon/model/ticks.py. */
static int64_t timeout_end(int64_t now, uint64_t ticks)
{
	unsigned int shift = 0;
	uint64_t end;

	if (shim.exact)
		return now + (int64_t)(ticks * shim.tick_ns);
	while (shift < 48 && ticks >= 63ull << shift)
		shift += 3;
	end = (((shim.first_tick + (uint64_t)now / shim.tick_ns + ticks) >> shift) + 1) << shift;
	return (int64_t)((end - shim.first_tick) * shim.tick_ns);
}

/* Sleep; 0 where Python has to do it. */
int shim_quiet_sleep(shim_u64 us, shim_u64 ticks)
{
	struct damon_time *time = quiet.time;
	int64_t end;

	if (!shim_is_quiet() || us >> 50 || ticks >> 40)
		return 0;
	end = ticks ? timeout_end(time->now, ticks) : time->now + (int64_t)(us ? us : 1) * 1000;
	if (end >= time->limit)
		return 0;
	if (*time->next_event <= end && time->advance(time->machine, end))
		quiet.over = 1;
	time->now = end;
	shim.now_ns = (shim_u64)end;
	shim.jiffies = shim.first_tick + shim.now_ns / shim.tick_ns;
	shim.coarse_ns = shim.exact ? shim.now_ns : shim.now_ns - shim.now_ns % shim.tick_ns;
	return 1;
}

shim_u64 shim_quiet_free_pages(void)
{
	return quiet.time->free_pages(quiet.time->machine);
}

void shim_quiet_mkold(const void *space, const shim_u64 *addrs, unsigned int nr)
{
	const struct damon_access *access = space;

	access->mkold(access->space, (const uint64_t *)addrs, nr, (int64_t)shim.now_ns);
}

void shim_quiet_young(const void *space, const shim_u64 *addrs, unsigned int nr, unsigned char *answers)
{
	const struct damon_access *access = space;

	access->young(access->space, (const uint64_t *)addrs, nr, answers, (int64_t)shim.now_ns);
}
