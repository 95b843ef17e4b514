# shellcheck shell=bash
# What the tests of svclab's image under standard runners share. Sourced, never run.

# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
name=${SVCLAB_CONFORMANCE_NAME:-svclab-foreign}
image=svclab/conformance:latest
kubeconfig=$cache_dir/$name.kubeconfig

# prepare: checks that the cluster is there, finds the engine, and builds svclab's image if it is not there.
prepare() {
  [[ -f $kubeconfig ]] || die "there is no cluster $name" "scripts/conformance-cluster.sh up"
  use_engine
  docker image inspect "$image" >/dev/null 2>&1 || "$scripts_dir/image.sh" "$image" >/dev/null
}

# side_load IMAGE…: puts the engine's images onto every node, so that no registry is asked.
side_load() {
  local node loaded
  for node in $(KUBECONFIG=$kubeconfig kubectl get nodes --output name); do
    for loaded in "$@"; do
      docker save "$loaded" | docker exec -i "${node#node/}" ctr -n k8s.io images import --all-platforms --digests - >&2
    done
  done
}
