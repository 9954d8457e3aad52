#!/usr/bin/env bash
# Installs what a node needs from Debian, where it is missing; no service is started by it.
set -euo pipefail
export PATH=$PATH:/usr/sbin:/sbin DEBIAN_FRONTEND=noninteractive
missing=()
need() { command -v "$1" > /dev/null || [ -x "$1" ] || missing+=("$2"); }
need runc runc
need iptables iptables
need conntrack conntrack
need /usr/lib/cni/bridge containernetworking-plugins
need buildah buildah
need mmdebstrap mmdebstrap
need openssl openssl
need ip iproute2
need nsenter util-linux
need gcc gcc
need prometheus prometheus
[ ${#missing[@]} -eq 0 ] && exit
command -v apt-get > /dev/null || { echo "not on PATH, and this is not Debian: ${missing[*]}" >&2; exit 1; }
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
  printf '#!/bin/sh\nexit 101\n' > $policy
  chmod 755 $policy
  trap 'rm -f $policy' EXIT
fi
install() { apt-get install -o DPkg::Lock::Timeout=300 -qq -y --no-install-recommends "$@" > /dev/null; }
install "${missing[@]}" || { apt-get update -qq; install "${missing[@]}"; }
