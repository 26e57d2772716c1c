#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# After a walk that was canceled, the next one leaves out the schemes that had their turn in the first.
# Watermarks cancel it: memory is taken and given back. Expected: both schemes have tried regions.
. "$(dirname "$(readlink -f "$0")")/lib.sh"
stage 2
rate=$(awk '/^MemTotal/ { total = $2 } /^MemFree/ { free = $2 } END { print int(free * 1000 / total) }' /proc/meminfo)
for i in 0 1; do
	watermarks $i 500000 1000 1000 $((rate - 80)) # active until 8 % of memory are taken
done
echo 100000 > $schemes/0/apply_interval_us
echo 20000000 > $schemes/1/apply_interval_us
echo on > 0/state
request update_schemes_tried_regions 2 && echo "first walk: it was not canceled" # scheme 0 has had its pass
mkdir "$place/memory"
mount -t tmpfs none "$place/memory"
head -c "$(awk '/^MemTotal/ { print int($2 * 1024 * 15 / 100) }' /proc/meminfo)" /dev/zero > "$place/memory/taken"
wait
echo "first walk: $(sed 's/.*: //' "$place/said")"
umount "$place/memory"
sleep 2
request update_schemes_tried_regions 60 || { echo "second walk: no answer within 60 s"; exit; }
cat "$place/said" # nothing
for i in 0 1; do
	echo "second walk: $(ls -d $schemes/$i/tried_regions/[0-9]* 2>/dev/null | wc -l) tried regions of scheme $i"
done
