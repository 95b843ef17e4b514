#!/usr/bin/env bash
# Times the whole run beside its floor, which is what kind alone needs to create and delete the same nodes.
#
# usage: scripts/bench-e2e.sh SVCLAB      (make bench-e2e; the images must be there, the machine quiet)
set -o errexit -o nounset -o pipefail
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
svclab=${1:?usage: scripts/bench-e2e.sh SVCLAB}
runs=${RUNS:-3}
work=$(mktemp -d)
floor="svclab-floor"
binaries kind sigs.k8s.io/kind
kind=$built/kind
export KUBECONFIG=$work/kubeconfig # not the user's
use_engine
if "$kind" get clusters 2>/dev/null | grep -qx "$floor"; then die "there already is a kind cluster $floor" "wait for the other make bench-e2e, or: kind delete cluster --name $floor"; fi
trap '"$kind" delete cluster --name "$floor" >/dev/null 2>&1 || true; rm -rf "$work"' EXIT

# timed COMMAND…: runs it quietly and prints how long it took, in seconds
TIMEFORMAT=%1R
timed() {
  { time "$@" >"$work/log" 2>&1; } 2>&1 || { tail -n 20 "$work/log" >&2; die "$* failed" "see above"; }
}

# less A B: what A took longer than B
less() { awk -v a="$1" -v b="$2" 'BEGIN { printf "%.1f", a - b }'; }

say "bringing svclab's cluster up once, so that its kind configuration is there and nothing is left to build"
timed "$svclab" up >/dev/null
floor_config "$scripts_dir/../_output/kind.yaml" >"$work/kind.yaml"
printf '%-40s %s\n' "what" "seconds"
for run in $(seq "$runs"); do
  printf '%-40s %s\n' "four types on the living cluster $run" "$(timed "$svclab" verify clusterip nodeport loadbalancer externalname)"
done
timed "$svclab" down >/dev/null
for run in $(seq "$runs"); do
  create=$(timed "$kind" create cluster --name "$floor" --config "$work/kind.yaml" --kubeconfig "$work/kubeconfig")
  delete=$(timed "$kind" delete cluster --name "$floor" --kubeconfig "$work/kubeconfig")
  four=$(timed "$svclab" e2e --label-filter="scenario: containsAny {clusterip, nodeport, loadbalancer, externalname}")
  whole=$(timed "$svclab" e2e)
  printf '%-40s %s\n' "kind create (the floor) $run" "$create" "kind delete $run" "$delete" \
    "the four types, create to delete $run" "$four" "the four types less kind create $run" "$(less "$four" "$create")" \
    "make e2e, create to delete $run" "$whole" "make e2e less kind create $run" "$(less "$whole" "$create")"
done
