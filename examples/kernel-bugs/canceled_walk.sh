#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# After a walk that was canceled, the next one leaves out the schemes that had their turn in the first.
# Watermarks cancel it: memory is taken and given back. Expected: both schemes have tried regions.
. "$(dirname "$(readlink -f "$0")")/lib.sh"
stage 2
rate=$(awk '/^MemTotal/ { total = $2 } /^MemFree/ { free = $2 } END { print int(free * 1000 / total) }' /proc/meminfo)
for i in 0 1; do
	watermarks $i 500000 1000 $((rate - 60)) $((rate - 80))
done
echo 100000 > $schemes/0/apply_interval_us
echo 10000000 > $schemes/1/apply_interval_us
echo on > 0/state
sleep 1
(echo update_schemes_tried_regions > 0/state) 2>&1 &
sleep 1 # scheme 0 has had its pass
place=$(mktemp -d)
mount -t tmpfs none "$place"
head -c "$(awk '/^MemTotal/ { print int($2 * 1024 * 15 / 100) }' /proc/meminfo)" /dev/zero > "$place/taken"
wait
umount "$place" && rmdir "$place"
sleep 2
echo update_schemes_tried_regions > 0/state
for i in 0 1; do
	echo "scheme $i: $(ls -d $schemes/$i/tried_regions/[0-9]* 2>/dev/null | wc -l) tried regions"
done
