#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# server.sh COMMAND ...: the server of docs/tutorials/production.md at work while the command runs. $PID is its process.
set -eu
here=$(dirname "$0")
scratch=$(mktemp -d)
mkfifo "$scratch/reports"
damon-workload --json "$here/server.yaml" >"$scratch/reports" &
server=$!
trap 'kill $server 2>/dev/null || true; rm -rf "$scratch"' EXIT
exec 3<"$scratch/reports"
read -r ready <&3
cat <&3 >/dev/null &
PID=$(printf '%s' "$ready" | sed 's/.*"pid": \([0-9]*\).*/\1/')
export PID
"$@"
