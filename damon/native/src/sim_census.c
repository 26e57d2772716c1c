// SPDX-License-Identifier: GPL-2.0-only
/* Which areas' pages are where, for explanations. Nothing changes by it. */
#include "sim.h"

#define PHYSICAL UINT32_MAX

/* The range that addr is in, from near on or before; nr: none. bounds: start and end of each, ascending. */
static uint32_t range_of(const uint64_t *bounds, uint32_t nr, uint32_t near, uint64_t addr)
{
	uint32_t low = 0, high = nr;

	if (near < nr && bounds[2 * near] <= addr && addr < bounds[2 * near + 1])
		return near;
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (bounds[2 * middle + 1] <= addr)
			low = middle + 1;
		else
			high = middle;
	}
	return low < nr && bounds[2 * low] <= addr ? low : nr;
}

/*
 * Pages of each area that are in memory in each of nr ranges of physical memory, or of a process's addresses; the last
 * row is for those in none. out has nr + 1 rows of a number for each area. Every step-th page stands for step of them.
 */
EXPORT void sim_census(struct sim_machine *m, uint32_t process, const uint64_t *bounds, uint32_t nr, uint64_t step,
		       uint64_t *out)
{
	for (uint32_t area = 0; area < m->nr_area; area++) {
		const struct sim_area *a = &m->area[area];
		uint32_t range = nr;

		if (!a->mapped || (process != PHYSICAL && a->process != process))
			continue;
		for (uint64_t index = 0; index < a->nr_pages; index += step) {
			uint64_t addr;

			if (!sim_page_present(a, index))
				continue;
			if (process == PHYSICAL)
				addr = sim_page_pfn(m, sim_page_frame(a, index)) << 12;
			else
				addr = a->start + (index << 12);
			range = range_of(bounds, nr, range, addr);
			out[range * m->nr_area + area] += step;
		}
	}
}
