#!/usr/bin/env bash
# Starts a program in a node's network, in a session of its own: its output goes to STATE/log/NAME.log, its pid to
# STATE/NAME.pid, for down.sh. How it was started is kept: without PROGRAM, NAME is started again.
# Usage: start.sh STATE NODE NAME [PROGRAM ARGUMENT...]   Needs root.
set -euo pipefail
STATE=$1 NODE=$2 NAME=$3
shift 3
[ $# -eq 0 ] || printf '%s\0' "$PWD" "$PATH" "$@" > "$STATE/$NAME.command"
mapfile -d '' -t command < "$STATE/$NAME.command"
cd "${command[0]}"
PATH=${command[1]}
setsid nsenter --net="/run/netns/$NODE" "${command[@]:2}" >> "$STATE/log/$NAME.log" 2>&1 < /dev/null &
echo $! > "$STATE/$NAME.pid"
