#!/usr/bin/env bash
# A kind cluster that svclab did not make, for svclab conformance to be tried on: kind's own command makes it, without
# MetalLB, a control plane and two workers.
#
# usage: scripts/conformance-cluster.sh up|down|kind
#   up     make it and print KUBECONFIG=…; the images must be there (make images). Refuses if there is one of that name
#   down   delete it, if this script made it
#   kind   print the path of kind's own command, built if need be
#
# SVCLAB_CONFORMANCE_NAME=svclab-foreign  MODE=nftables|iptables  KUBERNETES=1.37  IMAGES=auto|pull|build
set -o errexit -o nounset -o pipefail
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
name=${SVCLAB_CONFORMANCE_NAME:-svclab-foreign}
[[ $name =~ ^svclab-[a-z0-9-]+$ ]] || die "SVCLAB_CONFORMANCE_NAME=$name does not begin with svclab-" "name it svclab-…, in lower case"
label=io.svclab.foreign=$name # on the cluster's network: this script made the cluster
mode=${MODE:-nftables}
kubeconfig=$cache_dir/$name.kubeconfig
binaries kind sigs.k8s.io/kind
kind=$built/kind
use_engine
export KIND_EXPERIMENTAL_DOCKER_NETWORK=$name

# furnish NODE: what kindnetd does where there is one, routes and masquerade, and a rule that keeps packets nobody serves
# on the node: no probe may leave the machine.
furnish() {
  docker exec -i "$1" sh -c 'mkdir -p /kind/svclab && cat >/kind/svclab/node-network.sh && chmod 755 /kind/svclab/node-network.sh' \
    <"$scripts_dir/../manifests/cluster/node-network.sh"
  docker exec -i "$1" sh -c 'cat >/etc/systemd/system/svclab-network.service' <"$scripts_dir/../manifests/cluster/svclab-network.service"
  # svclab's own nodes send ICMP errors without a bound; this one's keep Linux' own
  printf '%s\n' "$facts" | docker exec -i "$1" sh -c 'cat >/kind/svclab/network && systemctl enable --now svclab-network &&
    sysctl -q -w net.ipv4.icmp_ratelimit=1000 net.ipv4.icmp_msgs_per_sec=1000 net.ipv4.icmp_msgs_burst=50'
}

# The containers and the networks of the name, whoever made them.
of_that_name() {
  docker ps --all --quiet --filter "label=io.x-k8s.kind.cluster=$name"
  docker network ls --quiet --filter "name=^$name\$"
}

up() {
  local images node offline=no node_image loads=() pair there
  images=$(KUBERNETES=${KUBERNETES:-} IMAGES=${IMAGES:-} "$scripts_dir/images.sh")
  node_image=$(sed -n 's/^NODE_IMAGE=//p' <<<"$images")
  [[ $(sed -n 's/^IMAGES=//p' <<<"$images") != build ]] || offline=yes
  there=$(of_that_name)
  [[ -z $there ]] || die "there already are containers or a network of the name $name" "scripts/conformance-cluster.sh down, or another SVCLAB_CONFORMANCE_NAME"
  at_exit abandon
  docker network create --label "$label" --opt com.docker.network.bridge.enable_ip_masquerade=true "$name" >/dev/null
  "$kind" create cluster --name "$name" --kubeconfig "$kubeconfig" --config - >&2 <<YAML
kind: Cluster
apiVersion: kind.x-k8s.io/v1alpha4
networking:
  kubeProxyMode: $mode
  podSubnet: 10.244.0.0/16
  serviceSubnet: 10.96.0.0/16
  disableDefaultCNI: $([[ $offline == yes ]] && echo true || echo false)
kubeadmConfigPatches:
  - |
    kind: KubeletConfiguration
    failCgroupV1: false
nodes:
  - {role: control-plane, image: "$node_image"}
  - {role: worker, image: "$node_image"}
  - {role: worker, image: "$node_image"}
YAML
  read -r -a loads <<<"$(sed -n 's/^LOAD_IMAGES=//p' <<<"$images")"
  facts="routes $offline
service 10.96.0.0/16
pod 10.244.0.0/16"
  for node in $("$kind" get nodes --name "$name"); do
    facts+="
peer $node $(KUBECONFIG=$kubeconfig kubectl get node "$node" --output 'jsonpath={.spec.podCIDR}')"
  done
  for node in $("$kind" get nodes --name "$name"); do
    furnish "$node"
    for pair in ${loads[@]+"${loads[@]}"}; do
      docker save "${pair%%=*}" | docker exec -i "$node" ctr -n k8s.io images import --all-platforms --digests - >&2
      docker exec "$node" ctr -n k8s.io images tag --force "docker.io/${pair%%=*}" "${pair#*=}" >&2
    done
  done
  KUBECONFIG=$kubeconfig kubectl wait --for=condition=Ready node --all --timeout=180s >&2
  KUBECONFIG=$kubeconfig kubectl --namespace kube-system rollout status deployment/coredns --timeout=180s >&2
  complete=yes
  printf 'KUBECONFIG=%s\n' "$kubeconfig"
}

# Deletes what up began and did not complete.
complete=no
abandon() {
  [[ $complete == yes || -n ${KEEP:-} ]] || down
}

down() {
  local there made
  there=$(of_that_name)
  made=$(docker network ls --quiet --filter "label=$label" --filter "name=^$name\$")
  [[ -z $there || -n $made ]] || die "scripts/conformance-cluster.sh did not make the cluster $name: its network has no label $label" "delete it by what made it; with kind: $kind delete cluster --name $name"
  "$kind" delete cluster --name "$name" --kubeconfig "$kubeconfig" >&2
  docker network rm "$name" >/dev/null 2>&1 || true
  rm -f "$kubeconfig"
}

case ${1:-} in
  up | down) "$1" ;;
  kind) printf '%s\n' "$kind" ;;
  *) die "scripts/conformance-cluster.sh wants up, down or kind" "see its head" ;;
esac
