#!/usr/bin/env bash
# Pins one Kubernetes release, and what goes with it, in scripts/components/*-MINOR/go.mod and go.sum:
#   kubernetes-MINOR  its programs, with the etcd and the CoreDNS that its kubeadm asks for
#   upstream-MINOR    its own end-to-end tests, which make upstream runs
#   coredns-MINOR     the CoreDNS, where it does not compile with the client-go of Kubernetes (see apart below)
# The requirements are Kubernetes' own, see module_requires in lib.sh. What etcd and CoreDNS need is added, so that a package
# that several of them use is compiled once; where they need a newer library than Kubernetes does, all get that one, and this
# script prints it.
#
# usage: scripts/pin-kubernetes.sh v1.37.2
set -o errexit -o nounset -o pipefail
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

version=${1:?usage: scripts/pin-kubernetes.sh v1.MINOR.PATCH}
[[ $version =~ ^v1\.([0-9]+)\.([0-9]+)$ ]] || {
  echo "pin-kubernetes: $version is not of the form v1.MINOR.PATCH" >&2
  exit 2
}
minor=1.${BASH_REMATCH[1]}
source=$(module_source k8s.io/kubernetes "$version")
upstream=$source/go.mod

# component NAME "what for": begins the go.mod of NAME-MINOR, which is read from stdin, and completes it.
component() {
  local folder=$components/$1-$minor
  mkdir -p "$folder"
  {
    echo "// Pins $2. Made by scripts/pin-kubernetes.sh."
    echo "module github.com/svclab/svclab/scripts/components/$1-$minor"
    echo
    cat
  } >"$folder/go.mod"
  rm -f "$folder/go.sum"
  (cd "$folder" && go mod tidy)
}

# of_kubernetes TOOL…: a go.mod with Kubernetes' own requirements and these packages, its own or what it needs.
of_kubernetes() {
  module_requires k8s.io/kubernetes "$version"
  printf '\ntool (\n'
  printf '\t%s\n' "$@"
  echo ")"
}

# versions FILE: the modules that a go.mod requires, as MODULE VERSION, sorted.
versions() { sed -n 's/^\t\([^ ]* v[^ ]*\)\( \/\/ indirect\)\{0,1\}$/\1/p' "$1" | sort; }

# kubeadm NAME: a version that kubeadm of this release asks for.
kubeadm() { sed -n "s/^\t$1 *= \"\(.*\)\"\$/\1/p" "$source/cmd/kubeadm/app/constants/constants.go"; }

programs=github.com/svclab/svclab/scripts/components/programs
etcd=$(kubeadm DefaultEtcdVersion)
etcd=v${etcd%-*}
coredns=$(kubeadm CoreDNSVersion)
apart=1.34 # the minors whose CoreDNS does not compile with the client-go of their Kubernetes
modules=("go.etcd.io/etcd/server/v3 $etcd")
tools=("$programs"/{kubernetes,pause} go.etcd.io/etcd/server/v3 k8s.io/kubernetes/test/images/agnhost)
with="the etcd $etcd"
if [[ " $apart " == *" $minor "* ]]; then
  printf '%s\n\n' "go 1.26.0" "tool $programs/coredns" "require github.com/coredns/coredns $coredns" "require $programs v0.0.0" \
    "replace $programs => ../programs" | component coredns "CoreDNS $coredns, as kubeadm $version asks for"
else
  modules+=("github.com/coredns/coredns $coredns")
  tools+=("$programs/coredns")
  with+=" and the CoreDNS $coredns"
fi
{
  of_kubernetes "${tools[@]}"
  printf '\nrequire %s\n' "${modules[@]}" "$programs v0.0.0"
  printf '\nreplace %s => ../programs\n' "$programs"
} | component kubernetes "Kubernetes $version, with $with that its kubeadm asks for"
of_kubernetes github.com/onsi/ginkgo/v2/ginkgo k8s.io/kubernetes/{cmd/kubectl,test/e2e} | component upstream "the end-to-end tests of Kubernetes $version"
ours=$components/kubernetes-$minor/go.mod
join <(versions "$upstream") <(versions "$ours") | awk '$2 != $3 && $2 != "v0.0.0" { print "newer than in Kubernetes'"'"' own go.mod:", $1, $2, "=>", $3 }'
