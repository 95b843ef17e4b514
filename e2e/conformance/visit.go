package conformance

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/svclab/svclab/e2e/cluster"
	"github.com/svclab/svclab/e2e/observe"
	"github.com/svclab/svclab/e2e/scenario"
	"github.com/svclab/svclab/e2e/world"
)

// Visit is the use of a cluster that svclab did not create for one Service of somebody else: svclab explain and trace. It deploys the
// clients of a conformance run, under the same lock, on nodes that matter to the Service, and probes no faster.
type Visit struct {
	Clients
	options ClientOptions
	near    []string
	// others are nodes that have no clients but matter to the Service: they are not Ready.
	others []string
}

// SurveyVisit reads the cluster and plans a visit. It creates nothing. Half of the sample, if so many of them are usable, are nodes
// in near; all of it for tracing. The scenarios name the image.
func SurveyVisit(ctx context.Context, c *cluster.Cluster, all []scenario.Scenario, near []string, o ClientOptions) (*Visit, error) {
	clients, err := newClients(ctx, c, all)
	if err != nil {
		return nil, err
	}
	v := &Visit{Clients: clients, options: o, near: near}
	for i := range v.nodes {
		if node := &v.nodes[i]; len(v.others) < o.Sample && slices.Contains(near, node.Name) && !world.NodeReady(node) {
			v.others = append(v.others, node.Name)
		}
	}
	if err := v.choose(ctx); err != nil {
		return nil, err
	}
	c.UseNodes(v.Sample.Slots, v.others...)
	return v, nil
}

// choose chooses the nodes of the clients.
func (v *Visit) choose(ctx context.Context) error {
	o := v.options
	close, all := (o.Sample+1)/2, o.Sample
	if o.Tracing {
		close, all = o.Sample, 0
	}
	_, err := v.use(ctx, chooseNear(v.nodes, v.near, close, all, o.Seed, v.unresponsive), o)
	return err
}

// chooseNear returns a sample of at most most nodes in near, and others until there are all. The slots are the nodes' own names.
func chooseNear(nodes []corev1.Node, near []string, most, all int, seed uint64, unresponsive map[string]string) Sample {
	var close, far []corev1.Node
	for i := range nodes {
		if slices.Contains(near, nodes[i].Name) {
			close = append(close, nodes[i])
		} else {
			far = append(far, nodes[i])
		}
	}
	s := Sample{Slots: map[string]string{}, Total: len(nodes), Seed: seed, Left: map[string]int{}}
	for _, part := range []struct {
		nodes []corev1.Node
		most  int
	}{{close, most}, {far, all}} {
		if len(s.Slots) >= part.most {
			continue
		}
		chosen := choose(part.nodes, part.most-len(s.Slots), seed, unresponsive)
		for why, n := range chosen.Left {
			s.Left[why] += n
		}
		for _, node := range chosen.Slots {
			s.Slots[node] = node
		}
	}
	s.Order = slices.Sorted(maps.Keys(s.Slots))
	return s
}

// Deploy deploys the clients. The caller holds the Lock, and closes the cluster in every case.
func (v *Visit) Deploy(ctx context.Context, c *cluster.Cluster) error {
	return v.deploy(ctx, c, v.choose, v.others...)
}

// Site returns the cluster with its vantages: those that it has now or, before Deploy, will have.
func (v *Visit) Site(c *cluster.Cluster) Hosted { return Hosted{c, v.Clients} }

// Prober makes the visit's probes, no faster than the cluster can refuse them.
func (v *Visit) Prober(c *cluster.Cluster, mode string) observe.Prober {
	return newRateLimited(c, v.guard, mode)
}

// Text prints what the visit will create, where, and from which vantages it will probe, under a title, and then more rows:
// each a label and a text.
func (v *Visit) Text(w io.Writer, title, contextName string, more [][2]string) error {
	var b strings.Builder
	row := rowsTo(&b)
	fmt.Fprintln(&b, title)
	row("cluster", "context %s at %s, Kubernetes %s", contextName, v.Server, v.version)
	v.creates(row, v.options)
	row("", "both labelled app.kubernetes.io/managed-by=svclab; both removed at the end, after Ctrl-C too")
	row("changes", "nothing that it did not create")
	v.rows(row, v.options)
	for _, r := range more {
		row(r[0], "%s", r[1])
	}
	return printPlan(w, &b)
}
