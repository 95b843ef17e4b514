#!/usr/bin/env bash
# Writes scripts/components/kubernetes-MINOR/go.mod and go.sum for one Kubernetes release.
# Kubernetes' own go.mod points its staging modules at folders of its source tree, so it cannot be
# used as it is: the same requirements are taken here, with every staging module at its published version.
#
# usage: scripts/pin-kubernetes.sh v1.37.2
set -o errexit -o nounset -o pipefail

version=${1:?usage: scripts/pin-kubernetes.sh v1.MINOR.PATCH}
[[ $version =~ ^v1\.([0-9]+)\.([0-9]+)$ ]] || {
  echo "pin-kubernetes: $version is not of the form v1.MINOR.PATCH" >&2
  exit 2
}
minor=1.${BASH_REMATCH[1]}
staging=v0.${BASH_REMATCH[1]}.${BASH_REMATCH[2]}
folder=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)/components/kubernetes-$minor
mkdir -p "$folder"

upstream=$(cd "$(mktemp -d)" && go mod download -json "k8s.io/kubernetes@$version" | sed -n 's/^\t"GoMod": "\(.*\)",$/\1/p')
{
  echo "// Pins what the offline node image takes from Kubernetes $version. Made by scripts/pin-kubernetes.sh."
  echo "module github.com/svclab/svclab/scripts/components/kubernetes-$minor"
  echo
  sed -n '/^go [0-9]/p' "$upstream"
  echo
  echo "tool ("
  for command in kubeadm kubelet kubectl kube-apiserver kube-controller-manager kube-scheduler kube-proxy; do
    echo "	k8s.io/kubernetes/cmd/$command"
  done
  echo "	k8s.io/kubernetes/test/images/agnhost"
  echo ")"
  echo
  echo "require k8s.io/kubernetes $version"
  echo
  sed -n '/^require (/,/^)/p' "$upstream" | sed "s#^\(\tk8s.io/[a-z-]*\) v0.0.0\$#\1 $staging#"
  echo
  echo "replace ("
  sed -n "s#^\t\(k8s.io/[a-z-]*\) => ./staging/.*#\t\1 => \1 $staging#p" "$upstream"
  echo ")"
} >"$folder/go.mod"
cd "$folder"
go mod tidy
