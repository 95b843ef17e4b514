#!/usr/bin/env bash
# Proves svclab conformance on a cluster that svclab did not make, and deletes it (KEEP=1 keeps it).
#
# usage: scripts/conformance-test.sh SVCLAB [go test's flags]      (make conformance-test)
set -o errexit -o nounset -o pipefail
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
: "${1:?usage: scripts/conformance-test.sh SVCLAB}"
SVCLAB_BIN=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
shift
export SVCLAB_BIN
binaries kwok sigs.k8s.io/kwok/cmd/kwok
stages=$(module_folder kwok sigs.k8s.io/kwok)/kustomize/stage
export SVCLAB_KWOK=$built/kwok
SVCLAB_KWOK_STAGES=$(printf '%s ' "$stages"/node/fast/node-initialize.yaml "$stages"/node/heartbeat-with-lease/node-heartbeat-with-lease.yaml "$stages"/pod/fast/pod-*.yaml)
export SVCLAB_KWOK_STAGES
SVCLAB_FOREIGN=$("$scripts_dir/conformance-cluster.sh" up | sed -n 's/^KUBECONFIG=//p')
export SVCLAB_FOREIGN
[[ -n ${KEEP:-} ]] || at_exit "$scripts_dir/conformance-cluster.sh" down
engine=$("$scripts_dir/engine.sh" env)
[[ -z $engine ]] || export "${engine?}" # one test stops a node's machine
cd "$scripts_dir/.."
go test -tags e2e -count=1 -timeout 55m -run '^TestLive' -v "$@" ./e2e/conformance
