#!/usr/bin/env bash
# Runs golangci-lint, at the version that scripts/components/golangci-lint pins, and shellcheck.
set -o errexit -o nounset -o pipefail
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$scripts_dir/.."

component=$scripts_dir/components/golangci-lint
linter=$cache_dir/bin/golangci-lint-$(hash_of "$component"/* "$(go env GOVERSION)")/golangci-lint
if [[ ! -x $linter ]]; then
  (cd "$component" && heartbeat "build golangci-lint" "$cache_dir/log/build-golangci-lint.log" go build -o "${linter%/*}.part/" tool)
  mv "${linter%/*}.part" "${linter%/*}"
fi
"$linter" run --build-tags e2e ./...
have shellcheck || die "shellcheck is missing" "install it (on Debian: sudo apt-get install shellcheck)"
shellcheck -x scripts/*.sh .ci/run
say "lint: clean"
