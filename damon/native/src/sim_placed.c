// SPDX-License-Identifier: GPL-2.0-only
/* Which areas' pages are where in physical memory: counted by blocks of frames. */
#include "sim_place.h"

#define NR_KNOWN 16 /* areas of one block that are counted; what others have in it is left out */

struct counted {
	uint32_t area, pages;
};

static uint32_t count_block(struct sim_machine *m, uint64_t pfn, uint64_t end, uint64_t stride, struct sim_hint *hint,
			    struct counted *known)
{
	uint32_t nr = 0;

	for (; pfn < end; pfn += stride) {
		uint32_t area, k = 0;
		uint64_t index;

		if (!sim_resolve(m, pfn, hint, &area, &index))
			continue;
		while (k < nr && known[k].area != area)
			k++;
		if (k == NR_KNOWN)
			continue;
		if (k == nr)
			known[nr++] = (struct counted){ area, 0 };
		known[k].pages++;
	}
	return nr;
}

/*
 * By blocks of so many frames, every stride-th of which is looked at: area, first frame number, number of frames, pages
 * of the area among them. Blocks side by side that are an area's alone are one. The words of up to max such rows.
 */
EXPORT uint32_t sim_placed(struct sim_machine *m, uint64_t block, uint64_t stride, uint64_t *out, uint32_t max)
{
	struct sim_hint hint = { 0 };
	uint32_t rows = 0;

	for (uint64_t r = 0; r < m->nr_res; r++) {
		uint64_t pfn = m->res[r].pfn, last = pfn + m->res[r].nr;

		for (uint64_t end; pfn < last; pfn = end) {
			struct counted known[NR_KNOWN];
			uint32_t nr;

			end = (pfn / block + 1) * block;
			if (end > last)
				end = last;
			nr = count_block(m, pfn, end, stride, &hint, known);
			for (uint32_t k = 0; k < nr; k++) {
				uint64_t pages = known[k].pages * stride, *row = out + 4 * (uint64_t)rows,
					 *before = row - 4;

				if (pages > end - pfn)
					pages = end - pfn;
				if (rows && pages == end - pfn && before[0] == known[k].area &&
				    before[2] == before[3] && before[1] + before[2] == pfn) {
					before[2] = before[3] += pages;
					continue;
				}
				if (rows == max)
					return rows;
				row[0] = known[k].area;
				row[1] = pfn;
				row[2] = end - pfn;
				row[3] = pages;
				rows++;
			}
		}
	}
	return rows;
}
