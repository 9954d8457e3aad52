#!/usr/bin/env bash
# Starts a real one-node Kubernetes in a network namespace of its own, in about 5 seconds: pods run under cgroups
# and seccomp, Services have virtual IPs, and nothing reaches the outside. README.md here says why each thing is so.
# Usage: up.sh BIN STATE NAME [VOLUMES]   Needs root, and Debian's runc, iptables, conntrack, containernetworking-plugins.
set -euo pipefail
BIN=$1 STATE=$2 NAME=$3
HERE=$(cd "$(dirname "$0")" && pwd)
PKI=$STATE/pki SOCKETS=/run/$NAME
NODE_IP=192.0.2.1 PODS=198.51.100.0/24 SERVICES=203.0.113.0/24 FIRST_SERVICE=203.0.113.1 # RFC 5737
EXCHANGER=mx.hops.svc.cluster.local
VOLUMES=${4:-24} # a claim that was drained and deleted leaves its own used up
export PATH=$BIN:/usr/sbin:/sbin:$PATH
mkdir -p "$PKI" "$STATE/log" "$SOCKETS"

ip netns add "$NAME"
inside="nsenter --net=/run/netns/$NAME"
$inside ip link set lo up
$inside ip link add node0 type bridge # stands for the node's network card
$inside ip addr add $NODE_IP/24 dev node0
$inside ip link set node0 up
$inside ip route add default dev node0
$inside sysctl -qw net.ipv4.ip_forward=1

cd "$PKI"
key() { openssl ecparam -name prime256v1 -genkey -noout -out "$1.key"; }
certificate() { # name, subject, subjectAltName
  key "$1"
  openssl req -new -key "$1.key" -subj "$2" -out "$1.csr"
  openssl x509 -req -in "$1.csr" -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -out "$1.crt" \
    -extfile <(printf 'subjectAltName=%s\nextendedKeyUsage=serverAuth,clientAuth\n' "$3") 2> /dev/null
}
key ca
openssl req -x509 -new -key ca.key -subj /CN=cluster-ca -days 2 -out ca.crt
names=DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc
certificate apiserver /CN=apiserver "$names,IP:127.0.0.1,IP:$NODE_IP,IP:$FIRST_SERVICE"
certificate admin /O=system:masters/CN=admin DNS:admin
certificate kubelet /O=system:nodes/CN=system:node:node0 "DNS:node0,IP:$NODE_IP"
certificate controller-manager /CN=system:kube-controller-manager DNS:controller-manager
certificate scheduler /CN=system:kube-scheduler DNS:scheduler
certificate proxy /CN=system:kube-proxy DNS:proxy
openssl genrsa -out sa.key 2048 2> /dev/null
openssl rsa -in sa.key -pubout -out sa.pub 2> /dev/null
for user in admin kubelet controller-manager scheduler proxy; do
  cat > $user.conf << C
apiVersion: v1
kind: Config
clusters: [{name: cluster, cluster: {server: "https://$NODE_IP:6443", certificate-authority-data: $(base64 -w0 ca.crt)}}]
users: [{name: user, user: {client-certificate-data: $(base64 -w0 $user.crt), client-key-data: $(base64 -w0 $user.key)}}]
contexts: [{name: cluster, context: {cluster: cluster, user: user}}]
current-context: cluster
C
done
export KUBECONFIG=$PKI/admin.conf

start() { "$HERE/start.sh" "$STATE" "$NAME" "$@"; }
until_done() { # seconds, command
  local tries=$(($1 * 5))
  shift
  for _ in $(seq $tries); do "$@" > /dev/null 2>&1 && return; sleep 0.2; done
  echo "not in time: $*" >&2
  tail -n 20 "$STATE"/log/*.log >&2
  exit 1
}

cat > "$STATE/audit.yaml" << C
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
  - {level: None, userGroups: [system:nodes, system:masters]}
  - {level: Metadata, userGroups: [system:serviceaccounts]}
C
start etcd etcd --data-dir "$STATE/etcd" --unsafe-no-fsync --listen-client-urls http://127.0.0.1:2379 \
  --advertise-client-urls http://127.0.0.1:2379 --listen-peer-urls http://127.0.0.1:2380
start apiserver kube-apiserver --etcd-servers http://127.0.0.1:2379 --cert-dir "$STATE/cert" --bind-address 0.0.0.0 \
  --advertise-address $NODE_IP --secure-port 6443 --tls-cert-file apiserver.crt --tls-private-key-file apiserver.key \
  --client-ca-file ca.crt --authorization-mode Node,RBAC --enable-admission-plugins NodeRestriction \
  --service-cluster-ip-range $SERVICES --service-account-issuer https://kubernetes.default.svc \
  --service-account-key-file sa.pub --service-account-signing-key-file sa.key --allow-privileged \
  --kubelet-preferred-address-types InternalIP --kubelet-client-certificate admin.crt --kubelet-client-key admin.key \
  --kubelet-certificate-authority ca.crt --audit-policy-file "$STATE/audit.yaml" --audit-log-path "$STATE/log/audit.json"
until_done 60 $inside kubectl get --raw /readyz
start controller-manager kube-controller-manager --kubeconfig controller-manager.conf --leader-elect=false \
  --use-service-account-credentials --service-account-private-key-file sa.key --root-ca-file ca.crt \
  --service-cluster-ip-range $SERVICES
start scheduler kube-scheduler --kubeconfig scheduler.conf --leader-elect=false

mkdir -p "$STATE/cni"
cat > "$STATE/cni/10-pods.conflist" << C
{"cniVersion": "1.0.0", "name": "pods", "plugins": [
  {"type": "bridge", "bridge": "pods0", "isGateway": true, "hairpinMode": true, "ipam": {"type": "host-local", "ranges": [[{"subnet": "$PODS"}]], "routes": [{"dst": "0.0.0.0/0"}], "dataDir": "$STATE/cni/leases"}},
  {"type": "portmap", "capabilities": {"portMappings": true}}]}
C
cat > "$STATE/containerd.toml" << C
version = 3
root = "$STATE/containerd"
state = "$SOCKETS/containerd"
[grpc]
address = "$SOCKETS/containerd.sock"
[plugins."io.containerd.cri.v1.images".pinned_images]
sandbox = "cluster.test/pause:1"
[plugins."io.containerd.cri.v1.runtime"]
restrict_oom_score_adj = true
[plugins."io.containerd.cri.v1.runtime".cni]
bin_dirs = ["/usr/lib/cni"]
conf_dir = "$STATE/cni"
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
C
start containerd containerd -c "$STATE/containerd.toml"

# The pod sandbox, a one-file image in docker-archive layout: config, one layer, manifest.
image=$STATE/pause-image
mkdir -p "$image"
tar -C "$BIN" --mtime=@0 --owner=0 --group=0 -cf "$image/layer.tar" pause
layer=$(sha256sum "$image/layer.tar" | cut -d' ' -f1)
case $(uname -m) in x86_64) machine=amd64 ;; aarch64) machine=arm64 ;; *) machine=$(uname -m) ;; esac
printf '{"architecture":"%s","os":"linux","config":{"Entrypoint":["/pause"]},"rootfs":{"type":"layers","diff_ids":["sha256:%s"]}}' \
  "$machine" "$layer" > "$image/config.json"
printf '[{"Config":"config.json","RepoTags":["cluster.test/pause:1"],"Layers":["layer.tar"]}]' > "$image/manifest.json"
tar -C "$image" -cf "$STATE/pause.tar" config.json layer.tar manifest.json
until_done 20 ctr -a "$SOCKETS/containerd.sock" version
ctr -a "$SOCKETS/containerd.sock" -n k8s.io images import "$STATE/pause.tar" > /dev/null

# Pods under a group of this cluster's own: a kubelet ends what it finds in its groups and does not know.
for group in /sys/fs/cgroup/ /sys/fs/cgroup/*/; do
  if [ -f "$group/cgroup.controllers" ]; then
    tr ' ' '\n' < "$group/cgroup.controllers" | sed 's/^/+/' |
      while read -r each; do echo "$each" > "$group/cgroup.subtree_control" || true; done 2> /dev/null
  elif [ ! -f "$group/cgroup.procs" ] || [ -L "${group%/}" ]; then
    continue
  fi
  mkdir -p "$group/$NAME"
  for file in cpuset.cpus cpuset.mems; do
    [ -f "$group/$NAME/$file" ] && cat "$group/$file" > "$group/$NAME/$file" 2> /dev/null || true
  done
done

echo "nameserver $NODE_IP" > "$STATE/resolv.conf"
cat > "$STATE/kubelet.yaml" << C
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication: {anonymous: {enabled: false}, x509: {clientCAFile: $PKI/ca.crt}, webhook: {enabled: true}}
authorization: {mode: Webhook}
tlsCertFile: $PKI/kubelet.crt
tlsPrivateKeyFile: $PKI/kubelet.key
cgroupDriver: cgroupfs
cgroupRoot: /$NAME
failCgroupV1: false
enforceNodeAllocatable: []
evictionHard: {}
failSwapOn: false
containerLogMaxSize: 200Mi # the tests read whole logs
podLogsDir: $STATE/pod-logs # a kubelet removes logs of pods that it does not know, such as another node's
containerRuntimeEndpoint: unix://$SOCKETS/containerd.sock
resolvConf: $STATE/resolv.conf
clusterDomain: cluster.local
clusterDNS: [$NODE_IP]
C
start kubelet kubelet --kubeconfig kubelet.conf --config "$STATE/kubelet.yaml" --hostname-override node0 \
  --node-ip $NODE_IP --root-dir "$STATE/kubelet"
start proxy kube-proxy --kubeconfig proxy.conf --hostname-override node0 --cluster-cidr $PODS --proxy-mode iptables \
  --conntrack-max-per-core 0
cat > "$STATE/Corefile" << C
.:53 {
  bind $NODE_IP
  errors
  kubernetes cluster.local in-addr.arpa {
    kubeconfig $PKI/admin.conf cluster
  }
}
test:53 example:53 { # every such domain has one exchanger, a pod of the tests: mail that goes out is seen
  bind $NODE_IP
  errors
  template IN MX {
    answer "{{ .Name }} 1 IN MX 10 $EXCHANGER."
  }
  template ANY ANY {
    rcode NOERROR
  }
}
C
start coredns coredns -conf "$STATE/Corefile"

# Volumes made beforehand: the kubelet gives local ones to the pod's group, as it would a real disk.
{
  cat << Y
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: local, annotations: {storageclass.kubernetes.io/is-default-class: "true"}}
provisioner: kubernetes.io/no-provisioner
volumeBindingMode: WaitForFirstConsumer
Y
  for number in $(seq $VOLUMES); do
    mkdir -p "$STATE/volumes/$number"
    cat << Y
---
apiVersion: v1
kind: PersistentVolume
metadata: {name: local-$number}
spec:
  capacity: {storage: 20Gi}
  accessModes: [ReadWriteOncePod]
  storageClassName: local
  local: {path: $STATE/volumes/$number}
  nodeAffinity: {required: {nodeSelectorTerms: [{matchExpressions: [{key: kubernetes.io/hostname, operator: In, values: [node0]}]}]}}
Y
  done
} > "$STATE/volumes.yaml"
until_done 30 $inside kubectl apply -f "$STATE/volumes.yaml"
until_done 30 $inside kubectl get node node0
until_done 60 $inside kubectl wait --for=condition=Ready node/node0 --timeout=10s
