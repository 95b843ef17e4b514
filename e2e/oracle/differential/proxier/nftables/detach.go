package nftables

import (
	"sigs.k8s.io/knftables"

	"k8s.io/kubernetes/pkg/proxy/conntrack"
	"k8s.io/kubernetes/pkg/proxy/healthcheck"
	proxyutil "k8s.io/kubernetes/pkg/proxy/util"
)

// newFake takes the place of knftables.New: see scripts/test-oracle.sh.
func newFake(family knftables.Family) (knftables.Interface, error) {
	return knftables.NewFake(family, kubeProxyTable), nil
}

// Detach keeps a proxier from this machine's interfaces, connections and sockets.
func Detach(p *Proxier, network proxyutil.NetworkInterfacer, health healthcheck.ServiceHealthServer) *proxyutil.NodePortAddresses {
	p.networkInterfacer, p.serviceHealthServer, p.conntrack = network, health, conntrack.NewFake()
	return p.nodePortAddresses
}

// Rules are what a proxier has written.
func Rules(p *Proxier) string { return p.nftables.(*knftables.Fake).Dump() }

// Sync has a proxier write its rules.
func Sync(p *Proxier) { p.syncProxyRules() }
