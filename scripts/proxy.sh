#!/usr/bin/env bash
# Builds the kube-proxy of one Kubernetes release, which svclab runs in the place of the cluster's own.
#
# usage: scripts/proxy.sh v1.33.0
#
# Nothing is pinned for it in the repository: any release that the Go module proxy serves can be built, and its modules are verified
# by the release's own go.sum and the checksum database (see kubernetes_module in lib.sh). What is built is cached by the content
# of its inputs. Prints KEY=VALUE lines on stdout; all else goes to stderr.
set -o errexit -o nounset -o pipefail
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

version=${1:-}
have go || die "Go is missing" "install Go 1.26 or newer (https://go.dev/dl)"
[[ $version =~ ^v1\.[0-9]+\.[0-9]+$ ]] || die "kube-proxy \"$version\" is no release" "name one as v1.MINOR.PATCH, such as PROXY=v1.33.0"
mkdir -p "$cache_dir" "$logs"
lock "proxy-$version" "builds kube-proxy $version"
need_space 4 "$cache_dir"
package=k8s.io/kubernetes/cmd/kube-proxy
kubernetes_module "$version" kube-proxy "$package"
# the engine's nodes run Linux on this machine's architecture, whatever system svclab runs on
GOOS=linux binaries "$module" "$package" -ldflags "$(kubernetes_ldflags "$version")"
echo "KUBE_PROXY=$built/kube-proxy"
