#!/usr/bin/env bash
# Builds the programs of a Kubernetes node from Go modules into the cache, once: what is there stays.
# Usage: build.sh DIRECTORY PROGRAM...   Needs Go 1.26, and gcc for pause; from nothing about 6 minutes on 2 cores
# for etcd and kube-apiserver, 12 for all.
set -euo pipefail
DIRECTORY=$1
shift
BIN=$DIRECTORY/bin SRC=$DIRECTORY/src
KUBE=1.37.2 ETCD=3.7.3 HELM=4.3.1 CONTAINERD=2.4.2 COREDNS=1.15.0 # the one place where versions stand
mkdir -p "$BIN" "$SRC"
export CGO_ENABLED=0 GOFLAGS=-buildvcs=false

# go install refuses a module with replace directives, so each program is built from a wrapper module.
module() { # folder, then the lines of its go.mod
  mkdir -p "$SRC/$1"
  printf 'module cluster.test/%s\n\ngo 1.26.0\n\n%s\n' "$1" "$2" > "$SRC/$1/go.mod"
  (cd "$SRC/$1" && go mod tidy > /dev/null 2>&1)
}

build() { # folder, output, package, more arguments
  local folder=$1 out=$2 package=$3 start=$SECONDS
  shift 3
  (cd "$SRC/$folder" && go build -trimpath "$@" -o "$BIN/$out.new" "$package")
  mv "$BIN/$out.new" "$BIN/$out"
  echo "built $out in $((SECONDS - start)) s"
}

kube_module() {
  [ -f "$SRC/kube/go.sum" ] && return
  local staging='api apiextensions-apiserver apimachinery apiserver cli-runtime client-go cloud-provider cluster-bootstrap code-generator component-base component-helpers controller-manager cri-api cri-client cri-streaming csi-translation-lib dynamic-resource-allocation endpointslice externaljwt kms kube-aggregator kube-controller-manager kube-proxy kube-scheduler kubectl kubelet metrics mount-utils pod-security-admission sample-apiserver streaming'
  local lines="require k8s.io/kubernetes v$KUBE"$'\n' name
  for name in $staging; do lines+="replace k8s.io/$name => k8s.io/$name v0.${KUBE#1.}"$'\n'; done
  for name in sample-cli-plugin sample-controller; do # not published at this version and not needed
    mkdir -p "$SRC/kube/stub/$name"
    printf 'module k8s.io/%s\n\ngo 1.26.0\n' "$name" > "$SRC/kube/stub/$name/go.mod"
    lines+="replace k8s.io/$name => ./stub/$name"$'\n'
  done
  for name in kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy kubectl; do
    lines+="tool k8s.io/kubernetes/cmd/$name"$'\n'
  done
  module kube "$lines"
}

containerd_module() {
  [ -f "$SRC/containerd/go.sum" ] && return
  local lines="require github.com/containerd/containerd/v2 v$CONTAINERD"$'\n' name
  for name in containerd containerd-shim-runc-v2 ctr; do
    lines+="tool github.com/containerd/containerd/v2/cmd/$name"$'\n'
  done
  module containerd "$lines"
}

# What holds a pod's namespaces open: it waits, and reaps what is left to it.
pause_source() {
  cat << 'C'
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
static void stop(int signal) { (void)signal; exit(0); }
static void reap(int signal) { (void)signal; while (waitpid(-1, 0, WNOHANG) > 0) {} }
int main(void) { signal(SIGINT, stop); signal(SIGTERM, stop); signal(SIGCHLD, reap); for (;;) pause(); }
C
}

stamp='-s -w'
for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
  stamp+=" -X $package.gitVersion=v$KUBE -X $package.gitMajor=1 -X $package.gitMinor=$(cut -d. -f2 <<< $KUBE)"
  stamp+=" -X $package.gitTreeState=clean -X $package.buildDate=2026-01-01T00:00:00Z"
done

make() {
  local program=$1
  case $program in
    etcd)
      module etcd "tool go.etcd.io/etcd/server/v3"$'\n'"require go.etcd.io/etcd/server/v3 v$ETCD"
      build etcd etcd go.etcd.io/etcd/server/v3 -ldflags '-s -w'
      ;;
    helm)
      module helm "tool helm.sh/helm/v4/cmd/helm"$'\n'"require helm.sh/helm/v4 v$HELM"
      build helm helm helm.sh/helm/v4/cmd/helm -ldflags "-s -w -X helm.sh/helm/v4/internal/version.version=v$HELM"
      ;;
    coredns)
      module coredns "tool github.com/coredns/coredns"$'\n'"require github.com/coredns/coredns v$COREDNS"
      build coredns coredns github.com/coredns/coredns -ldflags '-s -w'
      ;;
    containerd | containerd-shim-runc-v2 | ctr)
      containerd_module
      build containerd "$program" "github.com/containerd/containerd/v2/cmd/$program" -tags no_btrfs \
        -ldflags "-s -w -X github.com/containerd/containerd/v2/version.Version=$CONTAINERD"
      ;;
    pause)
      pause_source > "$SRC/pause.c"
      gcc -static -Os -o "$BIN/pause.new" "$SRC/pause.c"
      mv "$BIN/pause.new" "$BIN/pause"
      ;;
    kube-* | kubectl | kubelet)
      kube_module
      build kube "$program" "k8s.io/kubernetes/cmd/$program" -ldflags "$stamp"
      ;;
    *)
      echo "no such program: $program" >&2
      exit 2
      ;;
  esac
}

for program in "$@"; do
  exec 9> "$DIRECTORY/lock" # of two that build at once, one waits and finds it there
  flock 9
  if [ ! -x "$BIN/$program" ]; then make "$program" 9>&-; fi
  exec 9>&-
done
