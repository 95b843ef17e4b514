#!/usr/bin/env bash
# Compares the oracle with the rules that kube-proxy's own proxiers write, for one or more Kubernetes releases: see
# e2e/oracle/differential.
#
# usage: scripts/test-oracle.sh [ARGUMENT…]     KUBERNETES="1.36 v1.33.0" chooses them, as a supported minor or as any release; all
#                                               supported minors without it
#
# The proxiers are built in e2e/oracle/differential/proxier with the pins of scripts/components/kubernetes-MINOR, or those that
# released_module makes for a release. That release's sources of packages iptables and nftables are laid next to the files there. In their text one call of
# knftables.New is replaced by the fake's.
set -o errexit -o nounset -o pipefail
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
root=$(cd "$scripts_dir/.." && pwd)
sources=$root/e2e/oracle/differential/proxier
out=$root/_output/oracle
mkdir -p "$out"
cd "$root"

minors=${KUBERNETES:-}
[[ -n $minors ]] || minors=$(for c in "$components"/kubernetes-*; do printf '%s ' "${c##*-}"; done)

proxiers=()
for minor in $minors; do
  if [[ $minor =~ ^v(1\.[0-9]+)\.[0-9]+$ && $(pinned "kubernetes-${BASH_REMATCH[1]}" k8s.io/kubernetes 2>/dev/null) == "$minor" ]]; then
    minor=${BASH_REMATCH[1]} # what is pinned is compiled already
  fi
  if [[ $minor =~ ^v1\.[0-9]+\.[0-9]+$ ]]; then
    version=$minor
    released_module k8s.io/kubernetes "$version" proxier k8s.io/kubernetes/pkg/proxy/{iptables,nftables} k8s.io/kubernetes/pkg/util/iptables/testing \
      k8s.io/component-helpers/node/util/sysctl/testing
    component=$module
  else
    KUBERNETES=$minor choose_minor
    component=$components/kubernetes-$minor
    version=$(kubernetes_version)
  fi
  kubernetes=$(module_source k8s.io/kubernetes "$version")
  # the main packages of our own are not among what is built here
  sed "s,^module .*,$(grep '^module ' "$sources/go.mod"),; /components\/programs/d" "$component/go.mod" >"$out/$minor.mod"
  cp "$component/go.sum" "$out/$minor.sum"
  new='knftables\.New(nftablesFamily, kubeProxyTable[^)]*)'
  [[ $(cat "$kubernetes"/pkg/proxy/nftables/*.go | grep -c "$new") == 1 ]] || die "Kubernetes $minor makes its nft interface in another way" "correct the pattern in this script"
  for package in iptables nftables; do
    for file in "$kubernetes/pkg/proxy/$package"/*.go; do
      name=${file##*/}
      case $name in
        *_test.go) continue ;;
      esac
      if grep -q "$new" "$file"; then
        sed "s/$new/newFake(nftablesFamily)/" "$file" >"$out/$minor-$name"
        file=$out/$minor-$name
      fi
      printf '"%s": "%s",\n' "$sources/$package/$name" "$file"
    done
  done | sed '1s/^/{"Replace": {\n/; $s/,$/}}/' >"$out/$minor.overlay"
  CGO_ENABLED=0 heartbeat "build the proxiers of Kubernetes $minor" "$out/$minor.log" \
    go -C "$sources" build -modfile "$out/$minor.mod" -overlay "$out/$minor.overlay" -o "$out/proxier-$minor" . ||
    die "building the proxiers of Kubernetes $minor failed" "see $out/$minor.log"
  proxiers+=("--proxier" "$version=$out/proxier-$minor")
done

go build -o "$out/differential" ./e2e/oracle/differential || die "building the comparison failed" "see above"
exec "$out/differential" "${proxiers[@]}" "$@"
