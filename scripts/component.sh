#!/usr/bin/env bash
# Builds the kube-proxy or the CoreDNS of one release, which svclab runs in the place of the cluster's own.
#
# usage: scripts/component.sh kube-proxy v1.33.0
#        scripts/component.sh coredns v1.12.0
#
# Nothing is pinned for it in the repository: any release that the Go module proxy serves can be built, and its modules are verified
# by the release's own go.sum and the checksum database (see released_module in lib.sh). What is built is cached by the content
# of its inputs. Prints KEY=VALUE lines on stdout; all else goes to stderr.
set -o errexit -o nounset -o pipefail
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

component=${1:-} version=${2:-}
have go || die "Go is missing" "install Go 1.26 or newer (https://go.dev/dl)"
flags="-s -w" files=()
case $component in
  kube-proxy) example=PROXY=v1.33.0 path=k8s.io/kubernetes package=k8s.io/kubernetes/cmd/kube-proxy flags=$(kubernetes_ldflags "$version") ;;
  # the main package of our own has the plugins that a cluster uses, and no other
  coredns) example=COREDNS=v1.12.0 path=github.com/coredns/coredns package=. files=("$components/programs/coredns/main.go") ;;
  *) die "there is no component \"$component\"" "usage: scripts/component.sh kube-proxy|coredns VERSION" ;;
esac
[[ $version =~ ^v1\.[0-9]+\.[0-9]+$ ]] || die "$component \"$version\" is no release" "name one as v1.MINOR.PATCH, such as $example"
mkdir -p "$cache_dir" "$logs"
lock "$component-$version" "builds $component $version"
need_space 4 "$cache_dir"
released_module "$path" "$version" "$component" "$package"
# the engine's nodes run Linux on this machine's architecture, whatever system svclab runs on
GOOS=linux binaries "$module" "$package" -ldflags "$flags"
name=${component^^}
echo "${name//-/_}=$built/$component"
