/* SPDX-License-Identifier: GPL-2.0-only */
/* Records of probe.c that Python fills in; twins in damon/ops/probes.py. */
#ifndef PYDAMON_PROBE_H
#define PYDAMON_PROBE_H

#include "damon.h"

enum probe_test { PROBE_ANON, PROBE_MEMCG, PROBE_PGIDLE_UNSET, PROBE_PGIDLE_SET, PROBE_HUGEPAGE_SIZE };

/* All probes' filters in one array, in order; probe says whose. min, max: bytes, inclusive. */
struct damon_probe_filter {
	uint64_t memcg, min, max;
	uint32_t probe, type, matching, allow;
};

#endif
