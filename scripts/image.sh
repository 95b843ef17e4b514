#!/usr/bin/env bash
# Builds the image of svclab itself from nothing but Go modules: no registry is asked. Prints its name.
#
# usage: scripts/image.sh [NAME:TAG]      (make image; default svclab/conformance:latest)
set -o errexit -o nounset -o pipefail
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
name=${1:-svclab/conformance:latest}
minor=${KUBERNETES:-$(setting KUBERNETES_DEFAULT)}
kubernetes=$scripts_dir/components/kubernetes-${minor#v}
[[ -d $kubernetes ]] || die "Kubernetes $minor is not supported" "use KUBERNETES=… with one of: $(cd "$scripts_dir/components" && echo kubernetes-* | sed 's/kubernetes-//g')"
use_engine
lock image "builds svclab's image"
workspace
bin=$work/root/usr/local/bin
mkdir -p "$bin" "$work/root/tmp/results"
# whoever the container runs as may write there
chmod 1777 "$work/root/tmp" "$work/root/tmp/results"
arch=$(docker version --format '{{.Server.Arch}}')
export CGO_ENABLED=0 GOOS=linux GOARCH=$arch
version=$(sed -n 's#^require k8s.io/kubernetes \(v[^ ]*\).*#\1#p' "$kubernetes/go.mod")
cd "$scripts_dir/.."
heartbeat "build svclab" "$cache_dir/log/image-svclab.log" go build -ldflags "-s -w" -o "$bin/svclab" ./labs/cmd/svclab
# svclab carries the prober into pods, and the nodes may be of both architectures
for prober in amd64 arm64; do
  GOARCH=$prober heartbeat "build the prober for $prober" "$cache_dir/log/image-prober.log" go build -buildvcs=false -ldflags "-s -w" \
    -o "$bin/svclab-prober-linux-$prober" ./e2e/probe/prober
done
cd "$kubernetes"
heartbeat "build kubectl $version" "$cache_dir/log/image-kubectl.log" go build \
  -ldflags "-s -w -X k8s.io/component-base/version.gitVersion=$version -X k8s.io/client-go/pkg/version.gitVersion=$version" -o "$bin/kubectl" k8s.io/kubernetes/cmd/kubectl
cp "$scripts_dir/svclab.Dockerfile" "$work/Dockerfile"
DOCKER_BUILDKIT=0 heartbeat "image $name" "$cache_dir/log/image-svclab.log" docker build --network none --tag "$name" "$work"
printf '%s\n' "$name"
