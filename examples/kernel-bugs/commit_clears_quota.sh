#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# A commit that changes nothing clears the quota state of running schemes: effective_bytes starts over.
# Expected: it goes on growing after the commit.
. "$(dirname "$(readlink -f "$0")")/lib.sh"
stage 1
quotas=$schemes/0/quotas
echo 200 > $quotas/reset_interval_ms
echo 1 > $quotas/goals/nr_goals
echo 1000 > $quotas/goals/0/target_value
echo 100 > $quotas/goals/0/current_value
echo on > 0/state
for second in 1 2 3 4 5 6 7; do
	sleep 1
	echo update_schemes_effective_quotas > 0/state
	echo "$second s: effective_bytes $(cat $quotas/effective_bytes)"
	if [ $second = 4 ]; then
		echo commit > 0/state
		echo "commit, nothing changed"
	fi
done
