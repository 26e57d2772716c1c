#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Records the process $PID with the kernel's own DAMON, or with other options of damon record; a tar archive of NAME*.
# record.sh NAME SECONDS [OPTION ...]
# Where damon_reclaim works meanwhile, what it reclaimed goes to the standard error output.
set -eu
name=$1 seconds=$2
shift 2
cd "$(mktemp -d)"
damon record --linux --ops vaddr --pid "$PID" --sample-us 50000 --aggr-us 1000000 --max-nr-regions 200 \
	--duration "$seconds" -o "$name" --quiet "${@:---engine=host}"
module=/sys/module/damon_reclaim/parameters
if [ "$(cat $module/enabled 2>/dev/null)" = Y ]; then
	echo "damon_reclaim: bytes_reclaimed_regions: $(cat $module/bytes_reclaimed_regions)" >&2
fi
tar c "$name"*
