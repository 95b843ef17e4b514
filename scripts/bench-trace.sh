#!/usr/bin/env bash
# Measures svclab trace on the cluster that is up, in its proxy mode and IP families: how many cells of the four types walk as
# predicted, how many of the faults in a packet filter it names, and how long a trace takes, on a node with many Services too.
#
# usage: [SERVICES=5000] [MUTANTS=1] scripts/bench-trace.sh SVCLAB      (make bench-trace, after make up)
set -o errexit -o nounset -o pipefail
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
svclab=${1:?usage: scripts/bench-trace.sh SVCLAB}
services=${SERVICES:-5000}
output=${SVCLAB_OUTPUT:-$scripts_dir/../_output}
namespace="svclab-bench-trace"
work=$(mktemp -d)
use_engine
export KUBECONFIG=$output/kubeconfig # not the user's
trap 'kubectl delete namespace "$namespace" --ignore-not-found --wait=false >/dev/null 2>&1 || true; rm -rf "$work"' EXIT

say "tracing every cell of the four types"
"$svclab" verify clusterip nodeport loadbalancer externalname --trace >"$work/verify" 2>"$work/log" || { tail -n 30 "$work/verify" "$work/log" >&2; die "svclab verify --trace failed" "see above"; }
jq --raw-output '.verdicts[] | .scenario as $s | .steps[] | .lines // [] | .[] | "\($s): \(.)"' "$output/result.json" >"$work/lines"
awk '/: traced [0-9]+ cells in / {
    for (i = 1; i < NF; i++) {
      if ($i == "traced") cells += $(i + 1)
      if ($(i + 1) == "walked") same += $i
      if ($(i + 1) == "did") other += $i
    }
    print "  " $0
  }
  END { printf "cells of the four types: %d traced, %d walked as predicted (%.1f %%), %d did not\n", cells, same, cells ? 100 * same / cells : 0, other }' "$work/lines"
grep -v ': traced [0-9]* cells in ' "$work/lines" | grep ' → ' || true

if [[ ${MUTANTS:-1} != 0 ]]; then
  say "injecting faults into packet filters"
  mapfile -t mutants < <(awk '/^- name: / { name = $3 } /^    filter:/ { print name }' "$scripts_dir"/../manifests/scenarios/*/mutants.yaml)
  "$svclab" mutants "${mutants[@]}" >"$work/mutants" 2>"$work/log" || true
  grep -E '^mutant |^[0-9]+ mutants' "$work/mutants" || { tail -n 30 "$work/mutants" "$work/log" >&2; die "svclab mutants failed" "see above"; }
fi

say "adding $services Services"
kubectl create namespace "$namespace" >/dev/null
for i in $(seq "$services"); do # eight files, because kubectl creates one object at a time
  printf -- '---\napiVersion: v1\nkind: Service\nmetadata: {name: s%d, namespace: %s}\nspec: {ports: [{port: 80}]}\n' "$i" "$namespace" >>"$work/services-$((i % 8)).yaml"
done
printf '%s\n' "$work"/services-*.yaml >"$work/files"
heartbeat "add Services" "$work/log" xargs --arg-file "$work/files" --max-procs 8 --max-args 1 kubectl create --filename
for target in kube-system/kube-dns:dns-tcp "$namespace/s$services"; do
  "$svclab" trace pod/worker "$target" --short >"$work/many" || true # what it printed says whether it walked as predicted
  printf '%d more Services, pod/worker to %s: %s\n' "$services" "$target" "$(tail -n 1 "$work/many")"
done
