#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Records the process $PID with the kernel's own DAMON, or with other options of damon record; a tar archive of NAME*.
# record.sh NAME SECONDS [OPTION ...]
set -eu
name=$1 seconds=$2
shift 2
cd "$(mktemp -d)"
damon record --linux --ops vaddr --pid "$PID" --sample-us 50000 --aggr-us 1000000 --max-nr-regions 200 \
	--duration "$seconds" -o "$name" --quiet "${@:---engine=host}"
tar c "$name"*
