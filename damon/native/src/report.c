// SPDX-License-Identifier: GPL-2.0-only
/* Reported accesses and the regions that they are in. Twin: damon/ops/reported.py. */
#include <string.h>

#include "damon.h"

/* out[i] := 1 if one of the ranges (start, end) is in region i, whole, else 0. Regions are in order. */
EXPORT void damon_mark_reported(const struct damon_region *regions, uint32_t nr, const uint64_t *ranges,
				uint32_t nr_ranges, uint8_t *out)
{
	memset(out, 0, nr);
	for (uint32_t i = 0; i < nr_ranges; i++) {
		uint64_t start = ranges[2 * i], end = ranges[2 * i + 1];
		uint32_t low = 0, high = nr;

		while (low < high) {
			uint32_t middle = low + (high - low) / 2;

			if (regions[middle].start <= start)
				low = middle + 1;
			else
				high = middle;
		}
		if (low && end <= regions[low - 1].end)
			out[low - 1] = 1;
	}
}
