#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# A commit that changes nothing clears the quota state of running schemes: effective_bytes starts over.
# Expected: it goes on growing after the commit.
. "$(dirname "$(readlink -f "$0")")/lib.sh"
stage 1
goal
echo on > 0/state
for second in 1 2 3 4 5 6 7; do
	effective_bytes $second
	if [ $second = 4 ]; then
		echo commit > 0/state
		echo "commit, nothing changed"
	fi
done
