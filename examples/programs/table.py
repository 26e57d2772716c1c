#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""A table in Python's memory: ROWS rows as tuples with an index; then ROUNDS times
look-ups of few keys, a group by, and a join."""

import os
import random
from collections import Counter
from itertools import islice

ROWS = int(os.environ.get("ROWS", "300000"))
random.seed(1)

customers = [(n, f"customer {n}", random.randrange(50)) for n in range(ROWS // 50)]
orders = [(n, random.randrange(len(customers)), random.randrange(1000), f"order {n}") for n in range(ROWS)]
by_customer: dict[int, list[tuple[int, int, int, str]]] = {}
for order in orders:
    by_customer.setdefault(order[1], []).append(order)
print("ready", flush=True)

for _ in range(int(os.environ.get("ROUNDS", "1"))):
    found = 0
    for n in range(ROWS // 2):
        found += by_customer[n % (len(customers) // 20)][0][2]
    print("look-ups:", found)

    sums: Counter[int] = Counter()
    for _, customer, amount, _ in orders:
        sums[customers[customer][2]] += amount
    print("group by:", *islice(sums.most_common(), 3))

    best = sorted(orders, key=lambda order: order[2], reverse=True)[: ROWS // 100]
    print("join:", len({customers[order[1]][1] for order in best}), "customers")
