/* SPDX-License-Identifier: GPL-2.0-only */
/* The tree's include/linux/damon.h, with pydamon's random numbers in damon_rand(). */
#define damon_rand damon_rand_of_the_tree
#include SHIM_DAMON_H
#undef damon_rand
#ifdef SHIM_RAND_TAKES_CTX
#define damon_rand(ctx, l, r) shim_rand(l, r)
#else
#define damon_rand(l, r) shim_rand(l, r)
#endif
