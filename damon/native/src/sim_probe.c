// SPDX-License-Identifier: GPL-2.0-only
/* The folio behind each sampling address. */
#include <stddef.h>
#include <string.h>

#include "sim_place.h"

/* Row i: the folio at addrs[i], nr_pages 0 if there is none. */
EXPORT void sim_folios_at(struct sim_machine *m, const uint64_t *addrs, uint32_t nr, struct damon_folio *out)
{
	struct sim_hint hint = { 0 };
	uint32_t area;
	uint64_t index;

	memset(out, 0, nr * sizeof(*out));
	for (uint32_t n = 0; n < nr; n++)
		if (sim_resolve(m, addrs[n] >> 12, &hint, &area, &index))
			sim_describe(m, area, index, addrs[n] >> 12, &out[n]);
}
