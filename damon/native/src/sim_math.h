/* SPDX-License-Identifier: GPL-2.0-only */
/* Arithmetic that gives the same bits everywhere: only + - * / on doubles. */
#ifndef PYDAMON_SIM_MATH_H
#define PYDAMON_SIM_MATH_H

#include <stdint.h>
#include <string.h>

#include "damon.h"

#define SIM_LN2_HI 6.93147180369123816490e-01
#define SIM_LN2_LO 1.90821492927058770002e-10

/* Natural logarithm of a positive normal number: exponent, and the series of artanh. */
static inline double sim_log(double x)
{
	uint64_t bits;
	double m, f, s, p;
	int e;

	memcpy(&bits, &x, 8);
	e = (int)(bits >> 52) - 1022;
	bits = (bits & 0xFFFFFFFFFFFFFull) | 0x3FE0000000000000ull;
	memcpy(&m, &bits, 8);
	if (m < 0.70710678118654752) {
		m = m * 2.0;
		e--;
	}
	f = (m - 1.0) / (m + 1.0);
	s = f * f;
	p = 1.0 / 21.0;
	p = p * s + 1.0 / 19.0;
	p = p * s + 1.0 / 17.0;
	p = p * s + 1.0 / 15.0;
	p = p * s + 1.0 / 13.0;
	p = p * s + 1.0 / 11.0;
	p = p * s + 1.0 / 9.0;
	p = p * s + 1.0 / 7.0;
	p = p * s + 1.0 / 5.0;
	p = p * s + 1.0 / 3.0;
	p = p * s + 1.0;
	return (double)e * SIM_LN2_HI + (2.0 * f * p + (double)e * SIM_LN2_LO);
}

/* e^x for x <= 0; 0 below -700. */
static inline double sim_exp(double x)
{
	double r, p = 1.0, scale;
	uint64_t bits;
	int n;

	if (x < -700.0)
		return 0.0;
	n = (int)(x * 1.44269504088896340736 - 0.5);
	r = x - (double)n * SIM_LN2_HI - (double)n * SIM_LN2_LO;
	for (int k = 14; k > 0; k--)
		p = p * r / (double)k + 1.0;
	bits = (uint64_t)(n + 1023) << 52;
	memcpy(&scale, &bits, 8);
	return p * scale;
}

/* Uniform in (0, 1], a pure function of its arguments. */
static inline double sim_uniform(uint64_t seed, uint64_t key, uint64_t t, uint64_t purpose)
{
	uint64_t h = damon_mix64(seed + key * 0x9E3779B97F4A7C15ull);

	h = damon_mix64(h ^ (t * 0xD1342543DE82EF95ull + purpose));
	return (double)((h >> 11) + 1) * (1.0 / 9007199254740992.0);
}

enum sim_purpose { DRAW_TOUCH, DRAW_WRITE, DRAW_NEXT, DRAW_WHICH, DRAW_ACCEPT, DRAW_FAULT };

#endif
