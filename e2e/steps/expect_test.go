package steps

import (
	"context"
	"io"
	"testing"

	"github.com/svclab/svclab/e2e/observe"
	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/scenario"
)

// Clients outside forget their neighbours before a goal's table probes an address that a node must announce; only then.
func TestGoalHasNewClients(t *testing.T) {
	outside := []reach.Vantage{{Name: "outside", Kind: reach.Outside}}
	for name, c := range map[string]struct {
		policy observe.Policy
		kinds  scenario.Kinds
		want   int
	}{
		"a goal at a load balancer": {observe.Goal(), scenario.Kinds{reach.ClusterIP, reach.LoadBalancer}, 1},
		"a goal at every target":    {observe.Goal(), nil, 1},
		"a goal at other targets":   {observe.Goal(), scenario.Kinds{reach.NodePort}, 0},
		"a scenario":                {observe.Suite(), scenario.Kinds{reach.LoadBalancer}, 0},
	} {
		cluster := &flushed{}
		env := &Env{Cluster: cluster, Vantages: outside, Policy: c.policy,
			Scenario: scenario.Scenario{Tables: map[string]scenario.Table{"t": {Kinds: c.kinds}}}}
		if err := env.flushNeighbours(t.Context(), []string{"t"}); err != nil || cluster.times != c.want {
			t.Errorf("%s: flushed %d times, %v; want %d", name, cluster.times, err, c.want)
		}
	}
}

// flushed is a cluster that counts what is run at its vantages.
type flushed struct {
	Cluster
	times int
}

func (c *flushed) Exec(context.Context, reach.Vantage, []string, io.Reader, io.Writer, io.Writer) error {
	c.times++
	return nil
}

func (c *flushed) Prober(context.Context, reach.Vantage) (string, error) { return "", nil }
