# SPDX-License-Identifier: GPL-2.0-only
# One kdamond on all of System RAM, with schemes that only count. For a guest: it takes the machine's kdamonds.
cd /sys/kernel/mm/damon/admin/kdamonds || exit 1
[ "$(cat nr_kdamonds)" = 0 ] || { echo "nr_kdamonds: $(cat nr_kdamonds): another user has kdamonds here; use a guest" >&2; exit 1; }
place=$(mktemp -d) || exit 1

# What waits for a request ends when the kdamond has ended.
end() {
	while [ "$(cat 0/state 2>/dev/null)" = on ]; do
		echo off > 0/state 2>/dev/null || sleep 0.2 # EBUSY: a request is being handled
	done
	wait
	echo 0 > nr_kdamonds
	rm -r "$place"
}
trap end EXIT
trap 'exit 130' INT TERM
context=0/contexts/0
schemes=$context/schemes

# stage NUMBER: that many schemes, not started
stage() {
	echo 1 > nr_kdamonds
	echo 1 > 0/contexts/nr_contexts
	echo paddr > $context/operations
	echo 1 > $context/targets/nr_targets
	echo 1 > $context/targets/0/regions/nr_regions
	set -- "$1" $(sed -n 's/^\([0-9a-f]*\)-\([0-9a-f]*\) : System RAM$/\1 \2/p' /proc/iomem | tail -1)
	echo $((0x$2)) > $context/targets/0/regions/0/start
	echo $((0x$3 + 1)) > $context/targets/0/regions/0/end
	echo "$1" > $schemes/nr_schemes
	i=0
	while [ $i -lt "$1" ]; do
		echo stat > $schemes/$i/action
		for what in sz nr_accesses age; do
			echo 0 > $schemes/$i/access_pattern/$what/min
			echo 4294967295 > $schemes/$i/access_pattern/$what/max
		done
		echo 18446744073709551615 > $schemes/$i/access_pattern/sz/max
		i=$((i + 1))
	done
}

# watermarks SCHEME INTERVAL_US HIGH MID LOW
watermarks() {
	echo free_mem_rate > $schemes/$1/watermarks/metric
	echo "$2" > $schemes/$1/watermarks/interval_us
	echo "$3" > $schemes/$1/watermarks/high
	echo "$4" > $schemes/$1/watermarks/mid
	echo "$5" > $schemes/$1/watermarks/low
}

# goal: the quota of scheme 0, not started, is tuned every 200 ms for a goal that is met to a tenth, so that it grows
goal() {
	quotas=$schemes/0/quotas
	echo 200 > $quotas/reset_interval_ms
	echo 1 > $quotas/goals/nr_goals
	echo 1000 > $quotas/goals/0/target_value
	echo 100 > $quotas/goals/0/current_value
}

# effective_bytes SECOND: the size that the quota of scheme 0 has after a further second
effective_bytes() {
	sleep 1
	echo update_schemes_effective_quotas > 0/state
	echo "$1 s: effective_bytes $(cat $quotas/effective_bytes)"
}

# request WORD SECONDS: writes WORD to the state; fails if the kdamond has not answered in that time
request() {
	rm -f "$place/answered"
	{ echo "$1" > 0/state; : > "$place/answered"; } 2>"$place/said" &
	seconds=$2
	sleep 0.3
	while [ ! -e "$place/answered" ]; do
		[ "$seconds" -gt 0 ] || return 1
		sleep 1
		seconds=$((seconds - 1))
	done
}
