#!/usr/bin/env bash
# Builds what the page of svclab learn --web takes from npm: the terminal emulator, as labs/page/assets/bundle, from the versions
# that scripts/page/package-lock.json pins. make build calls it. Where npm is missing or its registry does not answer, svclab is
# built without the terminal: the page says so, and all else works.
#
# usage: scripts/page.sh [required]     with required that is an error, and the folder of npm's modules is printed
set -o errexit -o nounset -o pipefail
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
bundle=$scripts_dir/../labs/page/assets/bundle
from=$scripts_dir/page
key=$(hash_of "$from/package-lock.json" "$from/xterm.js" "${BASH_SOURCE[0]}")

without() {
  [[ ${1:-} != required ]] || die "the page's terminal cannot be built: $2" "install npm (https://nodejs.org), or see $logs/page.log"
  say "svclab gets no terminal in its page: $2"
  exit 0
}

modules=$cache_dir/page-$key # kept: make test-page needs the rest of them
if [[ -f $bundle/$key.js && ${1:-} != required ]]; then exit 0; fi
tried=$modules/failed
if [[ ${1:-} != required && -n $(find "$tried" -mmin -1440 2>/dev/null) ]]; then exit 0; fi # a build does not wait for npm each time
have npm || without "${1:-}" "npm is missing"
lock page "builds the page's terminal"
if [[ ! -f $modules/complete ]]; then
  mkdir -p "$modules"
  cp "$from"/* "$modules/"
  heartbeat "get the page's terminal from npm" "$logs/page.log" npm ci --prefix "$modules" --ignore-scripts --no-audit --no-fund --fetch-retries=1 --fetch-timeout=20000 || {
    touch "$tried"
    without "${1:-}" "npm failed"
  }
  touch "$modules/complete"
fi
if [[ ! -f $bundle/$key.js ]]; then
  rm -rf "$bundle"
  (cd "$modules" && node_modules/.bin/esbuild xterm.js --bundle --minify --format=esm --legal-comments=eof --outfile="$bundle/xterm.js") >>"$logs/page.log" 2>&1 ||
    without "${1:-}" "esbuild failed"
  printf '// xterm.js was built from the files with this hash\n' >"$bundle/$key.js"
fi
[[ ${1:-} != required ]] || printf '%s\n' "$modules"
