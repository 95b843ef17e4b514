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
awk '
  function seconds(text,  all) {
    sub(/,$/, "", text)
    if (text ~ /ms$/) return text / 1000
    if (match(text, /[0-9]m[0-9]/)) { all = 60 * text; sub(/^[0-9]+m/, "", text) }
    return all + text
  }
  /: traced [0-9]+ cells in / {
    for (i = 1; i < NF; i++) {
      if ($i == "traced") cells += n = $(i + 1)
      if ($(i + 1) == "walked") same += $i
      if ($(i + 1) == "did") other += $i
      if ($i == "cells") took += seconds($(i + 2))
      if ($i == "each") mean += n * seconds($(i + 2))
      if ($i == "most" && seconds($(i + 1)) > most) most = seconds($(i + 1))
    }
    print "  " $0
  }
  END {
    if (!cells) exit 1
    printf "cells of the four types: %d traced, %d walked as predicted (%.1f %%), %d did not\n", cells, same, 100 * same / cells, other
    printf "a trace took %.2f s in the mean and %.2f s at most in addition to its probe; 100 cells took %.1f s with their probes\n", mean / cells, most, 100 * took / cells
  }' "$work/lines"
grep -v ': traced [0-9]* cells in ' "$work/lines" | grep ' → ' || true

if [[ ${MUTANTS:-1} != 0 ]]; then
  say "injecting faults into packet filters"
  mapfile -t mutants < <(awk '/^- name: / { name = $3 } /^    (filter|rulesLeft):|^  fault: \{stranger:/ { print name }' "$scripts_dir"/../manifests/scenarios/*/mutants.yaml)
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
  for try in $(seq 60); do # kube-proxy may be writing the rules still
    if "$svclab" trace pod/worker "$target" --short >"$work/many"; then break; fi
    [[ $try == 60 ]] || sleep 5
  done
  printf '%d more Services, pod/worker to %s: %s\n' "$services" "$target" "$(tail -n 1 "$work/many")"
done
