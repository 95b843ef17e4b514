#!/usr/bin/env bash
# Times the way from a clean clone to the verdict on a machine that has built nothing: an empty build cache, an empty svclab
# cache and an engine of its own without an image. Prints seconds and CPU-seconds of each part beside what kind alone needs
# to create the same nodes.
#
# usage: [DOWNLOADS=1] [LIMIT=5400] scripts/bench-cold.sh      (make bench-cold; root on Linux, 30 GiB of disk, the machine quiet)
#
# LIMIT        ends a part that takes longer, in seconds
# DOWNLOADS=1  empties the module cache too; without it, Go modules that were downloaded before stay. Debian's packages are
#              always downloaded. What is measured is the last commit. CPU-seconds are those of the whole machine, because the engine has its share.
set -o errexit -o nounset -o pipefail
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
[[ $(uname -s) == Linux && $(id -u) == 0 ]] || die "an engine without an image can be started only as root on Linux" "run this as root"
lock bench-cold "times a build from nothing"
need_space 30 "$cache_dir"
limit=${LIMIT:-5400}
binaries kind sigs.k8s.io/kind
kind=$built/kind
workspace
export SVCLAB_CACHE=$work/cache GOCACHE=$work/gocache SVCLAB_ENGINE=private SVCLAB_ENGINE_HOME=$work/engine
export SVCLAB_ENGINE_RUN=/run/svclab-cold SVCLAB_NAME=svclab-cold SVCLAB_HOST_PORT=30290 IMAGES=build KUBECONFIG=$work/kubeconfig
unset DOCKER_HOST
if [[ -n ${DOWNLOADS:-} ]]; then export GOMODCACHE=$work/modules; fi
clone=$work/clone

# engine_down: stops the engine, and so all that was made in it; its folder goes with the workspace.
engine_down() {
  "$scripts_dir/engine.sh" down >/dev/null 2>&1 || say "svclab's engine in $SVCLAB_ENGINE_HOME could not be stopped: SVCLAB_ENGINE_HOME=$SVCLAB_ENGINE_HOME SVCLAB_ENGINE_RUN=$SVCLAB_ENGINE_RUN scripts/engine.sh down"
  if [[ -d $work/modules ]]; then chmod -R u+w "$work/modules"; fi # Go writes them read-only
}
at_exit engine_down

# part WHAT COMMAND…: runs it and prints a row of the table
total_seconds=0 total_processor=0
part() {
  local what=$1
  shift
  measure heartbeat "$what" "$work/part.log" timeout "$limit" "$@" || die "$what failed" "the end of its output is above"
  print_row "$what" "$seconds" "$processor"
  total_seconds=$(plus "$total_seconds" "$seconds")
  total_processor=$(plus "$total_processor" "$processor")
}

print_row "what" "seconds" "CPU-seconds"
part "git clone" git clone --quiet "$scripts_dir/.." "$clone"
part "the engine" "$clone/scripts/engine.sh" up
part "make build" make -C "$clone" build
part "make images" make -C "$clone" images
part "make e2e, the images present" make -C "$clone" e2e
print_row "from a clean clone to the verdict" "$total_seconds" "$total_processor"
DOCKER_HOST=$("$scripts_dir/engine.sh" env)
export DOCKER_HOST=${DOCKER_HOST#DOCKER_HOST=}
floor_config "$clone/_output/kind.yaml" >"$work/kind.yaml"
part "kind create" "$kind" create cluster --name svclab-cold-floor --config "$work/kind.yaml"
part "kind delete" "$kind" delete cluster --name svclab-cold-floor
