#!/usr/bin/env bash
# Times the whole run next to its floor, which is what kind alone needs to create and delete the same nodes: seconds, and
# CPU-seconds of the whole machine.
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

# part WHAT COMMAND…: runs it quietly and prints a row of the table
part() {
  local what=$1
  shift
  measure "$@" >"$work/log" 2>&1 || { tail -n 20 "$work/log" >&2; die "$what failed: $*" "see above"; }
  print_row "$what" "$seconds" "$processor"
}

say "bringing svclab's cluster up once, so that its kind configuration is there and nothing is left to build"
print_row "what" "seconds" "CPU-seconds"
part "svclab up" "$svclab" up
floor_config "$scripts_dir/../_output/kind.yaml" >"$work/kind.yaml"
for run in $(seq "$runs"); do
  part "four types on the living cluster $run" "$svclab" verify clusterip nodeport loadbalancer externalname
  part "all scenarios on the living cluster $run" "$svclab" verify
done
part "svclab down" "$svclab" down
for run in $(seq "$runs"); do
  part "kind create (the floor) $run" "$kind" create cluster --name "$floor" --config "$work/kind.yaml" --kubeconfig "$work/kubeconfig"
  create_seconds=$seconds create_processor=$processor
  part "kind delete $run" "$kind" delete cluster --name "$floor" --kubeconfig "$work/kubeconfig"
  part "the four types, create to delete $run" "$svclab" e2e --label-filter="scenario: containsAny {clusterip, nodeport, loadbalancer, externalname}"
  print_row "the four types less kind create $run" "$(minus "$seconds" "$create_seconds")" "$(minus "$processor" "$create_processor")"
  part "make e2e, create to delete $run" "$svclab" e2e
  print_row "make e2e less kind create $run" "$(minus "$seconds" "$create_seconds")" "$(minus "$processor" "$create_processor")"
done
