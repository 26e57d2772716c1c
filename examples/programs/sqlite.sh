#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# SQLite: a table of ROWS orders with an index in a mapped file; then ROUNDS times look-ups of few customers, a sum of
# everything, and changes.
set -eu
ROWS=${ROWS:-150000}
CUSTOMERS=$((ROWS / 50))

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
queries=
for _ in $(seq "${ROUNDS:-1}"); do
	queries="$queries
WITH RECURSIVE n (i) AS (VALUES (0) UNION ALL SELECT i + 1 FROM n WHERE i + 1 < 10000)
SELECT 'look-ups: ' || sum((SELECT sum(amount) FROM orders WHERE customer = i % ($CUSTOMERS / 20))) FROM n;
SELECT 'all: ' || count(*) || ' orders, ' || sum(amount) || ', ' || sum(length(note)) FROM orders;
UPDATE orders SET amount = amount + 1, note = 'changed' WHERE customer % 10 = 3;
SELECT 'changed: ' || sum(amount) FROM orders;
"
done
sqlite3 -batch "$scratch/orders.db" <<END
PRAGMA journal_mode = wal;
PRAGMA synchronous = off;
PRAGMA mmap_size = 268435456;
PRAGMA cache_size = -32768;
CREATE TABLE orders (id INTEGER PRIMARY KEY, customer INTEGER, amount INTEGER, note TEXT);
WITH RECURSIVE n (i) AS (VALUES (0) UNION ALL SELECT i + 1 FROM n WHERE i + 1 < $ROWS)
INSERT INTO orders SELECT i, i * 7919 % $CUSTOMERS, i % 1000, printf('order %0200d', i) FROM n;
CREATE INDEX by_customer ON orders (customer);
.shell echo ready
$queries
END
