#!/usr/bin/env bash
# Runs svclab's conformance image by hydrophone, a standard runner, on the cluster of scripts/conformance-cluster.sh.
#
# usage: [SVCLAB_CONFORMANCE_NAME=svclab-foreign] [TIMEOUT=3600] scripts/hydrophone-test.sh [FOCUS]
# FOCUS is a regular expression of behaviours' IDs; all of profile core where it is empty. The cluster must be up.
set -o errexit -o nounset -o pipefail
# shellcheck source=scripts/runners.sh
source "$(dirname "${BASH_SOURCE[0]}")/runners.sh"
prepare
binaries hydrophone sigs.k8s.io/hydrophone
hydrophone=$built/hydrophone
side_load "$image"
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
