package conformance

import (
	"context"

	"github.com/svclab/svclab/e2e/cluster"
	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/runner"
	"github.com/svclab/svclab/e2e/scenario"
	"github.com/svclab/svclab/e2e/world"
)

// Hosted is a cluster that svclab did not create, with this machine as a vantage where it may be one.
type Hosted struct {
	*cluster.Cluster
	clients Clients
}

// site is the cluster that scenarios run on, with its detected and declared features.
type site struct {
	Hosted
	features features
}

var _ runner.Cluster = site{}

// Lacks implements runner.Cluster.
func (s site) Lacks(f scenario.Feature) string { return s.features.lacks(f) }

// Vantages returns the cluster's vantages, with the host's addresses and usability.
func (h Hosted) Vantages(ctx context.Context) ([]reach.Vantage, error) {
	vantages, err := h.Cluster.Vantages(ctx)
	for i := range vantages {
		if vantages[i].Kind == reach.Host {
			vantages[i].Addrs, vantages[i].Unusable = h.clients.hostAddrs, h.clients.host
		}
	}
	return vantages, err
}

// Facts returns the cluster's facts. All pods in svclab's namespaces declare their ports.
func (s site) Facts(ctx context.Context) (world.Facts, error) {
	facts, err := s.Cluster.Facts(ctx)
	facts.PortsDeclared = true
	facts.LoadBalancer = s.features.lacks(scenario.LoadBalancer) == ""
	return facts, err
}
