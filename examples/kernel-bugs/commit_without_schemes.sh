#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# A commit that removes all schemes while their watermarks let the kdamond sleep: it sleeps for ever.
# Expected: it samples after the commit, so that aggregations are traced.
. "$(dirname "$(readlink -f "$0")")/lib.sh"
stage 1
watermarks 0 1000000 2 1 0 # nearly no memory is free: never true
tracing=/sys/kernel/tracing
[ -d $tracing/events ] || mount -t tracefs none $tracing
echo on > 0/state
sleep 3
echo 0 > $schemes/nr_schemes
request commit 6 || { echo "6 s: a commit is not done while watermarks wait"; exit; } # before 6.14
: > $tracing/trace
echo 1 > $tracing/events/damon/damon_aggregated/enable
sleep 10
echo 0 > $tracing/events/damon/damon_aggregated/enable
echo "10 s after the commit: $(cat 0/state), $(grep -c damon_aggregated: $tracing/trace) regions aggregated"
