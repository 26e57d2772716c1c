#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# A compile: gcc -O2 of the C files of the directory $1 whose names fit $2, two at a time, each in a process of its own.
set -eu
SOURCES=${1:?give a directory with C files}
FILES=${2:-*.c}

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cp "$SOURCES"/*.[ch] "$scratch"
cd "$scratch"
echo ready
# shellcheck disable=SC2086 # a pattern
printf '%s\n' $FILES | xargs -P 2 -I FILE gcc -std=gnu11 -O2 -c FILE
echo "compiled $(ls ./*.o | wc -l) files, $(cat ./*.o | wc -c) bytes"
