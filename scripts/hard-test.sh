#!/usr/bin/env bash
# Runs svclab under hard conditions on a cluster of its own, and deletes it: see e2e/hard.
#
# usage: scripts/hard-test.sh SVCLAB [go test's flags]      (make test-hard; ARGS=-short takes minutes less)
set -o errexit -o nounset -o pipefail
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
SVCLAB_BIN=$(realpath "${1:?usage: scripts/hard-test.sh SVCLAB}")
shift
cd "$scripts_dir/.."
engine=$("$scripts_dir/engine.sh" up)
[[ -z $engine ]] || export "${engine?}"
export SVCLAB_BIN SVCLAB_NAME=svclab-hard SVCLAB_HOST_PORT=30380 SVCLAB_OUTPUT=$PWD/_output/hard
trap '"$SVCLAB_BIN" down >/dev/null 2>&1 || true' EXIT
go test -tags e2e -count=1 -timeout 55m -v "$@" ./e2e/hard
