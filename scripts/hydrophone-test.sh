#!/usr/bin/env bash
# Runs svclab's conformance image by hydrophone, a standard runner, on the cluster of scripts/conformance-cluster.sh.
#
# usage: [NAME=svclab-foreign] [TIMEOUT=3600] scripts/hydrophone-test.sh [FOCUS]
# FOCUS is a regular expression of behaviours' IDs; all of profile extended where it is empty. The cluster must be up.
set -o errexit -o nounset -o pipefail
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
name=${NAME:-svclab-foreign}
image=svclab/conformance:latest
kubeconfig=$cache_dir/$name.kubeconfig
[[ -f $kubeconfig ]] || die "there is no cluster $name" "scripts/conformance-cluster.sh up"
eval "$("$scripts_dir/engine.sh" up | sed 's/^/export /')"
docker image inspect "$image" >/dev/null 2>&1 || "$scripts_dir/image.sh" "$image" >/dev/null
hydrophone=$cache_dir/bin/hydrophone-$(hash_of "$scripts_dir"/components/hydrophone/*)
[[ -x $hydrophone ]] || (cd "$scripts_dir/components/hydrophone" && heartbeat "build hydrophone" "$cache_dir/log/hydrophone.log" go build -o "$hydrophone" sigs.k8s.io/hydrophone)
for node in $(KUBECONFIG=$kubeconfig kubectl get nodes --output name); do
  docker save "$image" | docker exec -i "${node#node/}" ctr -n k8s.io images import --all-platforms --digests - >&2
done
agnhost=$(setting PULL_AGNHOST)
arguments=(--kubeconfig "$kubeconfig" --conformance-image "docker.io/$image" --busybox-image "${agnhost%@*}" --disable-progress-status)
if [[ -n ${1:-} ]]; then arguments+=(--focus "$1"); else arguments+=(--conformance); fi
results=$(mktemp -d)
status=0
timeout "${TIMEOUT:-3600}" "$hydrophone" "${arguments[@]}" --output-dir "$results" || status=$?
"$hydrophone" --kubeconfig "$kubeconfig" --cleanup --output-dir "$results"
say "hydrophone ended with exit code $status; what it fetched is in $results"
[[ -s $results/e2e.log && -s $results/junit_01.xml ]] || die "hydrophone did not fetch e2e.log and junit_01.xml"
exit "$status"
