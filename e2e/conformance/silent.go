package conformance

import (
	"context"
	"fmt"

	"github.com/svclab/svclab/e2e/cluster"
)

// A node can be Ready, and say of pods that they run, with no machine behind it (kwok), or one whose kubelet cannot be
// reached. Nothing can be asked there: such a node is left out, and others are tried in its place.

// trials is how often other nodes are chosen in the place of those that do not answer, before the run is content with
// those that do.
const trials = 3

const (
	noAnswer = "run pods, as they say, that take no exec"
	notTried = "were not tried, after so many others that take no exec"
)

// stage is the part of a cluster that furnish needs.
type stage interface {
	// Furnish puts clients on the nodes, by slot; Silent says of those nodes which do not answer, and why.
	Furnish(ctx context.Context, slots map[string]string, image string) error
	Silent(ctx context.Context) (map[string]error, error)
	Context() string
}

var _ stage = (*cluster.Cluster)(nil)

// furnish puts clients on nodes that answer. Where not all that were chosen do, the plan is of others afterwards.
func (p *Plan) furnish(ctx context.Context, c stage) error {
	for trial := 1; ; trial++ {
		if err := c.Furnish(ctx, p.Sample.Slots, p.Image.Name); err != nil {
			return err
		}
		silent, err := c.Silent(ctx)
		if err != nil || len(silent) == 0 {
			return err
		}
		if trial > trials {
			return fmt.Errorf("nodes that took an exec before take none now: %v", silent)
		}
		for node := range silent {
			p.silent[node] = noAnswer
		}
		if trial == trials {
			p.onlyAnswering()
		}
		if err := p.stand(ctx, c.Context()); err != nil {
			return err
		}
	}
}

// onlyAnswering leaves all nodes out but those of the sample that answered.
func (p *Plan) onlyAnswering() {
	chosen := map[string]bool{}
	for _, node := range p.Sample.Slots {
		chosen[node] = true
	}
	for i := range p.nodes {
		if name := p.nodes[i].Name; !chosen[name] && p.silent[name] == "" {
			p.silent[name] = notTried
		}
	}
}
