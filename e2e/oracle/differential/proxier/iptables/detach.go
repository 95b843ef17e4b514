package iptables

import (
	"k8s.io/kubernetes/pkg/proxy/conntrack"
	"k8s.io/kubernetes/pkg/proxy/healthcheck"
	proxyutil "k8s.io/kubernetes/pkg/proxy/util"
)

// Detach keeps a proxier from this machine's interfaces, connections, counters and sockets.
func Detach(p *Proxier, network proxyutil.NetworkInterfacer, health healthcheck.ServiceHealthServer) *proxyutil.NodePortAddresses {
	p.networkInterfacer, p.serviceHealthServer, p.conntrack, p.nfacct = network, health, conntrack.NewFake(), nil
	return p.nodePortAddresses
}

// Sync has a proxier write its rules.
func Sync(p *Proxier) { p.syncProxyRules() }
