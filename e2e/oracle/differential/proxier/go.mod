// Nothing is pinned here: scripts/test-oracle.sh builds with the pins of scripts/components/kubernetes-MINOR, and lays that
// release's own sources of packages iptables and nftables beside the files here.
module github.com/svclab/svclab/e2e/oracle/differential/proxier

go 1.26.0
