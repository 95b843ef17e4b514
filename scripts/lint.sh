#!/usr/bin/env bash
# Runs golangci-lint and deadcode, at the versions that scripts/components pins, go mod tidy -diff and shellcheck.
set -o errexit -o nounset -o pipefail
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$scripts_dir/.."

go mod tidy -diff || die "go.mod or go.sum is not tidy, see the difference above" "run go mod tidy"

binaries golangci-lint tool
"$built/golangci-lint" run --build-tags e2e ./...

# Functions that only tests call count as live: the suites are tests.
binaries deadcode tool
dead=$("$built/deadcode" -test -tags e2e ./...)
[[ -z $dead ]] || die $'no program and no test calls these functions:\n'"$dead" "remove them"

have shellcheck || die "shellcheck is missing" "install it (on Debian: sudo apt-get install shellcheck)"
shellcheck -x scripts/*.sh .ci/run
say "lint: clean"
