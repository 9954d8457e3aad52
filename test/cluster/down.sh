#!/usr/bin/env bash
# Stops what up.sh has started, by the process ids that were written, and removes its state; programs stay.
# Usage: down.sh STATE NAME
STATE=$1 NAME=$2 SOCKETS=/run/$2
alive() { cat "$STATE"/*.pid 2> /dev/null | xargs -r -n1 sh -c 'kill -0 "$0" 2> /dev/null && echo "$0"'; }
networks=$(cat "$SOCKETS"/containerd/io.containerd.runtime.v2.task/k8s.io/*/config.json 2> /dev/null |
  grep -o '/var/run/netns/cni-[0-9a-f-]*' | sort -u)
cat "$STATE/kubelet.pid" 2> /dev/null | xargs -r kill 2> /dev/null
sleep 0.5
for pod in "$SOCKETS"/containerd/io.containerd.runtime.v2.task/k8s.io/*/; do # pods outlive kubelet and containerd
  [ -f "${pod}init.pid" ] && kill -9 "$(cat "${pod}init.pid")" 2> /dev/null
done
alive | xargs -r kill 2> /dev/null
for _ in 1 2 3 4 5 6 7 8 9 10; do [ -z "$(alive)" ] && break; sleep 0.2; done
alive | xargs -r kill -9 2> /dev/null
# Shims write no pid; they name this node's socket.
grep -sl "$SOCKETS/[c]ontainerd\.sock" /proc/[0-9]*/cmdline | cut -d/ -f3 | xargs -r kill -9 2> /dev/null
awk -v a="$STATE/" -v b="$SOCKETS/" 'index($2, a) == 1 || index($2, b) == 1 {print $2}' /proc/mounts |
  sort -r | xargs -r -n1 umount -l
for network in $networks; do ip netns del "$(basename "$network")" 2> /dev/null; done
ip netns del "$NAME" 2> /dev/null
find /sys/fs/cgroup/"$NAME" /sys/fs/cgroup/*/"$NAME" -depth -type d -exec rmdir {} \; 2> /dev/null
rm -rf "$STATE" "$SOCKETS"
