#!/usr/bin/env bash
# Runs a command and says every 15 s that it is still at work; what is over sooner is left to speak for itself.
#
# usage: scripts/beat.sh WHAT COMMAND…
set -o errexit -o nounset -o pipefail
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
(($# >= 2)) || die "scripts/beat.sh got $# arguments" "scripts/beat.sh WHAT COMMAND…"
what=$1
shift
have "$1" || die "$1 is missing" "install it (Go: https://go.dev/dl, 1.26 or newer)"
(
  while sleep 15 >/dev/null 2>&1; do say "… $what, $SECONDS s"; done
) &
beat=$!
trap 'kill "$beat" 2>/dev/null || true' EXIT
"$@"
