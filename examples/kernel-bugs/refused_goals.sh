#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# A commit of quota goals that is refused for its second goal leaves the first: effective_bytes follows that one.
# Expected: EINVAL, and effective_bytes goes on growing for the goal that it was started with.
. "$(dirname "$(readlink -f "$0")")/lib.sh"
stage 1
goal
echo on > 0/state
for second in 1 2 3 4 5 6; do
	effective_bytes $second
	if [ $second = 3 ]; then
		echo 2 > $quotas/goals/nr_goals
		echo 100 > $quotas/goals/0/target_value
		echo 1000 > $quotas/goals/0/current_value
		echo 0 > $quotas/goals/1/target_value
		request commit_schemes_quota_goals 6
		echo "commit of goals of 100 and 0: $(sed 's/.*: //' "$place/said")"
	fi
done
