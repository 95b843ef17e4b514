#!/usr/bin/env bash
# Runs svclab's conformance image as a plugin of Sonobuoy, a standard runner, on the cluster of
# scripts/conformance-cluster.sh, and looks into what it fetched. Sonobuoy and its image are built from its Go module: no
# registry is asked.
#
# usage: [SVCLAB_CONFORMANCE_NAME=svclab-foreign] [MINUTES=60] scripts/sonobuoy-test.sh [FOCUS]
# FOCUS is a regular expression of behaviours' IDs; all of profile core where it is empty. The cluster must be up.
set -o errexit -o nounset -o pipefail
# shellcheck source=scripts/runners.sh
source "$(dirname "${BASH_SOURCE[0]}")/runners.sh"
prepare
version=$(pinned sonobuoy github.com/vmware-tanzu/sonobuoy)
binaries sonobuoy tool -ldflags "-s -w -X github.com/vmware-tanzu/sonobuoy/pkg/buildinfo.Version=$version"
sonobuoy_image=svclab/sonobuoy:$version-${built##*-}

# build_sonobuoy_image: the program at the path where its aggregator and workers look for it, and a folder for what they
# write, whoever they run as.
build_sonobuoy_image() {
  local work
  workspace
  mkdir -p "$work/root/tmp"
  chmod 1777 "$work/root/tmp"
  cp "$built/sonobuoy" "$work/root/sonobuoy"
  printf 'FROM scratch\nCOPY root/ /\nENV PATH=/ HOME=/tmp\nCMD ["/sonobuoy", "aggregator", "--no-exit"]\n' >"$work/Dockerfile"
  DOCKER_BUILDKIT=0 heartbeat "image $sonobuoy_image" "$logs/image-sonobuoy.log" docker build --network none --tag "$sonobuoy_image" "$work"
  rm -rf "$work"
}

sonobuoy() { "$built/sonobuoy" "$@" --kubeconfig "$kubeconfig"; }

docker image inspect "$sonobuoy_image" >/dev/null 2>&1 || build_sonobuoy_image
side_load "$image" "$sonobuoy_image"
results=$(mktemp -d)
status=0
# By default the aggregator names itself as [IPv4]:PORT, which Go's net/url refuses since 1.26; its Service's name does.
printf '{"Server": {"advertiseaddress": "sonobuoy-aggregator.sonobuoy.svc:8080"}}\n' >"$results/config.json"
arguments=(--config "$results/config.json" --sonobuoy-image "docker.io/$sonobuoy_image" --image-pull-policy IfNotPresent --plugin "$scripts_dir/../manifests/conformance/sonobuoy.yaml")
if [[ -n ${1:-} ]]; then arguments+=(--plugin-env "svclab.E2E_FOCUS=$1"); fi
trap 'sonobuoy delete --wait=5 >&2' EXIT
sonobuoy run "${arguments[@]}" --wait="${MINUTES:-60}" || status=$?
sonobuoy status >&2
sonobuoy status --json >"$results/status.json"
((status == 0)) || die "sonobuoy run ended with exit code $status"
archive=$(sonobuoy retrieve "$results")
# what a person would look for in it: Sonobuoy's own summary, the JUnit report that it read, and svclab's reports
"$built/sonobuoy" results "$archive" --plugin svclab | tee "$results/summary.txt" >&2
listed=$(tar --list --file "$archive")
for file in junit.xml conformance.yaml conformance.json report.html summary.md; do
  grep -qx "plugins/svclab/results/global/$file" <<<"$listed" || die "$archive has no plugins/svclab/results/global/$file"
done
tar --extract --to-stdout --file "$archive" plugins/svclab/results/global/conformance.yaml >"$results/conformance.yaml"
say "what sonobuoy fetched is in $results"
grep -qx 'Status: passed' "$results/summary.txt" || die "Sonobuoy does not say that the plugin passed"
