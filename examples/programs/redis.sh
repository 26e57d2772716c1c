#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Redis and its benchmark. A table of KEYS values of 1 KiB; then a tenth of it is read, then all of it read and written.
set -eu
KEYS=${KEYS:-60000}
REQUESTS=${REQUESTS:-10000}

scratch=$(mktemp -d)
redis-server --port 0 --unixsocket "$scratch/socket" --dir "$scratch" --save '' --appendonly no >"$scratch/log" &
server=$!
trap 'kill $server; wait $server || true; rm -rf "$scratch"' EXIT
until [ "$(redis-cli -s "$scratch/socket" ping 2>/dev/null)" = PONG ]; do
	kill -0 $server || { cat "$scratch/log" >&2; exit 1; }
	sleep 0.1
done
# The keys that redis-benchmark asks for.
fill="for n = 0, $KEYS - 1 do redis.call('SET', string.format('key:%012d', n), string.rep('x', 1024)) end"
redis-cli -s "$scratch/socket" eval "$fill" 0 >/dev/null

bench() {
	redis-benchmark -s "$scratch/socket" -q -d 1024 -c 10 "$@" | tr '\r' '\n' | grep 'requests per second'
}
echo ready
bench -n $((3 * REQUESTS)) -r $((KEYS / 10)) -t get
bench -n "$REQUESTS" -r "$KEYS" -t get
bench -n "$REQUESTS" -r "$KEYS" -t set
redis-cli -s "$scratch/socket" info memory | grep used_memory_human
