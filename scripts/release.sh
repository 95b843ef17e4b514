#!/usr/bin/env bash
# Builds what a release has, in _output/release: an archive for each system, with svclab and the probers that it sends into a
# cluster, a list of the modules in it (SBOM, CycloneDX) and checksums of all. The version is the one that git's tag gives.
#
# usage: scripts/release.sh [TAG]     with a tag it must be that of the checkout, and the checkout must be clean
#
# PLATFORMS="linux/amd64 linux/arm64 darwin/amd64 darwin/arm64 windows/amd64 windows/arm64"
set -o errexit -o nounset -o pipefail
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
platforms=${PLATFORMS:-linux/amd64 linux/arm64 darwin/amd64 darwin/arm64 windows/amd64 windows/arm64}
cd "$scripts_dir/.."
release=${SVCLAB_OUTPUT:-$PWD/_output}/release
binaries cyclonedx-gomod tool
sbom=$built/cyclonedx-gomod
lock release "builds a release"
workspace
rm -rf "$release"
mkdir -p "$release"
export CGO_ENABLED=0

# build PLATFORM OUTPUT PACKAGE
build() {
  GOOS=${1%/*} GOARCH=${1#*/} heartbeat "build ${3##*/} for $1" "$logs/release.log" go build -ldflags "-s -w" -o "$2" "$3"
}

for platform in $platforms; do
  for prober in $(printf '%s\n' linux/amd64 linux/arm64 "$platform" | sort -u); do
    file=$work/svclab-prober-${prober/\//-}
    [[ -f $file ]] || build "$prober" "$file" ./e2e/probe/prober
  done
done
for platform in $platforms; do
  program=svclab
  [[ $platform != windows/* ]] || program=svclab.exe
  mkdir -p "$work/$platform"
  build "$platform" "$work/$platform/$program" ./labs/cmd/svclab
  version=$(go version -m "$work/$platform/$program" | awk '$1 == "mod" { print $3 }')
  [[ -z ${1:-} || $version == "$1" ]] || die "the checkout's version is $version, not $1" "check the tag out, without changes: git checkout $1 && git status"
  name=svclab_${version}_${platform/\//_}
  "$sbom" bin -json -version "$version" -output "$release/$name.cdx.json" "$work/$platform/$program" 2>>"$logs/release.log" || die "no SBOM of $name" "read $logs/release.log"
  for prober in $(printf '%s\n' linux/amd64 linux/arm64 "$platform" | sort -u); do cp "$work/svclab-prober-${prober/\//-}" "$work/$platform/"; done
  cp LICENSE README.md "$work/$platform/"
  # the same archive from the same checkout: sorted, of nobody, of the commit's time
  tar --create --sort=name --owner=0 --group=0 --numeric-owner --mtime="@$(git log -1 --format=%ct)" --directory "$work/$platform" . | gzip -n >"$release/$name.tar.gz"
done
(cd "$release" && sha256sum -- * >"$work/checksums" && mv "$work/checksums" checksums.txt)
say "$release has $(find "$release" -type f | wc -l) files of version $version"
