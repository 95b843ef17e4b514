// Package collect makes the Case that package explain works on: it reads the objects around one Service, predicts and
// observes the Service from every vantage, and reads what its pods listen on where they refuse, all as far as Options allow.
// It changes nothing.
package collect

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"

	"github.com/svclab/svclab/e2e/explain"
	"github.com/svclab/svclab/e2e/observe"
	"github.com/svclab/svclab/e2e/probe"
	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/world"
)

// Cluster is the cluster of the Service; package cluster has it.
type Cluster interface {
	probe.Exec
	Client() kubernetes.Interface
	Dynamic() dynamic.Interface
	Facts(ctx context.Context) (world.Facts, error)
	Vantages(ctx context.Context) ([]reach.Vantage, error)
}

const (
	// proxyLabel is what kubeadm labels kube-proxy's pods with.
	proxyLabel = "k8s-app=kube-proxy"
	// within bounds convergence. The Service was usually applied a while ago, and the user is waiting.
	within = 3 * time.Second
)

// Options say what may be sent and read. The zero value only predicts.
type Options struct {
	// Probe: send requests.
	Probe bool
	// Outside: send them to hosts that an ExternalName names outside the cluster too.
	Outside bool
	// ReadSockets: read what refusing pods listen on, by a command in them.
	ReadSockets bool
	// Most bounds how many of the Service's endpoints are probed at their own address; 0: all. A Service with more of them gets
	// the fewest probes that a cell can have, and not every endpoint needs to answer.
	Most int
	// Prober makes the probes, with these timeouts. Nil and zero: a prober without limits, with the default ones.
	Prober   observe.Prober
	Timeouts observe.Timeouts
}

// About gathers what there is to know of a Service ("namespace/name"), whether it is there or not. With Options.Probe, the
// table holds what was observed from every vantage; without, the predictions only.
func About(ctx context.Context, c Cluster, service string, intent explain.Intent, o Options) (explain.Case, error) {
	if o.Prober == nil {
		o.Prober = probe.New(c)
	}
	found, err := about(ctx, c, service, o)
	if err != nil {
		return explain.Case{}, fmt.Errorf("look at service %s: %w", service, err)
	}
	found.Intent = intent
	return found, nil
}

// Nodes returns the nodes that run the Service's ready endpoints, sorted.
func Nodes(ctx context.Context, client kubernetes.Interface, service string) ([]string, error) {
	namespace, name, _ := strings.Cut(service, "/")
	list, err := client.DiscoveryV1().EndpointSlices(namespace).List(ctx, metav1.ListOptions{LabelSelector: discoveryv1.LabelServiceName + "=" + name})
	if err != nil {
		return nil, fmt.Errorf("list the EndpointSlices of service %s: %w", service, err)
	}
	var nodes []string
	for _, slice := range list.Items {
		for _, e := range slice.Endpoints {
			if e.NodeName != nil {
				nodes = append(nodes, *e.NodeName)
			}
		}
	}
	slices.Sort(nodes)
	return slices.Compact(nodes), nil
}

func about(ctx context.Context, c Cluster, service string, o Options) (explain.Case, error) {
	found := explain.Case{Service: service}
	facts, err := c.Facts(ctx)
	if err != nil {
		return found, err
	}
	vantages, err := c.Vantages(ctx)
	if err != nil {
		return found, err
	}
	namespace, _, _ := strings.Cut(service, "/")
	engine := observe.Engine{Policy: observe.Explain(), Prober: o.Prober, Timeouts: o.Timeouts.Or(observe.DefaultTimeouts()), Within: within, Adjust: relax,
		Predict: o.predict,
		Tables: func(w world.World) ([]observe.Table, error) {
			t := o.table(w, vantages, service)
			found.Unprobed = o.bound(&t)
			return []observe.Table{t}, nil
		},
		Snapshot: func(ctx context.Context) (world.World, error) {
			w, err := world.Take(ctx, c.Client(), c.Client().Discovery(), c.Dynamic(), facts, namespace)
			_, w.Facts.NodesUseClusterDNS = w.DNSService()                     // package observe sends their lookups there
			w.Facts.LoadBalancer = w.Facts.LoadBalancer || w.Announcers != nil // there is a MetalLB
			return w, err
		}}
	engine.Policy.NewServices = o.Most > 0 // a sticky cell would get as many probes in each round as show a second backend
	if o.Probe {
		observe.WaitForKubeProxy(ctx, c, vantages, within) // what cannot be known here, package explain finds out by itself
		result, err := engine.Observe(ctx)
		if err != nil {
			return found, err
		}
		found.World, found.Table = result.World, result.Tables[0]
	} else {
		if found.World, err = engine.Snapshot(ctx); err != nil {
			return found, err
		}
		tables, err := engine.Tables(found.World)
		if err != nil {
			return found, err
		}
		found.Table = predicted(engine.Predict(found.World), tables[0])
	}
	if err := surroundings(ctx, c, namespace, &found); err != nil {
		return found, err
	}
	if o.Probe {
		found.Unread, found.Tried = refusing(found.Table), o.ReadSockets
	}
	if found.Tried {
		found.Sockets = sockets(ctx, c, found)
		found.Unread = slices.DeleteFunc(found.Unread, func(pod string) bool { return found.Sockets[pod] != nil })
	}
	return found, nil
}

// table has every cell of a Service. From cells that must not be probed, the vantage is unusable.
func (o Options) table(w world.World, vantages []reach.Vantage, service string) observe.Table {
	t := observe.Table{Title: service, Vantages: vantages, Targets: w.Targets(service)}
	for _, v := range t.Vantages {
		usable := v.Unusable
		for _, target := range t.Targets {
			v.Unusable = usable
			if !o.Outside && usable == "" {
				v.Unusable = leaves(w, target)
			}
			if world.Applicable(v, target) {
				t.Cells = append(t.Cells, observe.Cell{Vantage: v, Target: target})
			}
		}
	}
	return t
}

// predicted is a table in which nothing was probed.
func predicted(predict func(reach.Vantage, reach.Target) reach.Prediction, t observe.Table) reach.Table {
	out := reach.Table{Title: t.Title, Vantages: t.Vantages, Targets: t.Targets}
	for _, c := range t.Cells {
		cell := reach.Cell{Vantage: c.Vantage, Target: c.Target,
			Observations: []reach.Observation{{Outcome: reach.Unprobed, Detail: "only the prediction was asked for"}}}
		out.Cells = append(out.Cells, reach.Judge(cell, predict(c.Vantage, c.Target), nil))
	}
	return out
}

// surroundings reads the objects around the Service. What the user may not read, beyond what a snapshot needs, stays
// unknown.
func surroundings(ctx context.Context, c Cluster, namespace string, found *explain.Case) error {
	all := metav1.ListOptions{}
	events, err := c.Client().CoreV1().Events(namespace).List(ctx, all)
	if err = permitted("events", err); err != nil {
		return err
	}
	if events != nil {
		found.Events = events.Items
	}
	policies, err := c.Client().NetworkingV1().NetworkPolicies(namespace).List(ctx, all)
	if err = permitted("networkpolicies", err); err != nil {
		return err
	}
	if policies != nil {
		found.Policies = policies.Items
	}
	proxies, err := c.Client().CoreV1().Pods(metav1.NamespaceSystem).List(ctx, metav1.ListOptions{LabelSelector: proxyLabel})
	if err = permitted("kube-proxy's pods", err); err != nil {
		return err
	}
	if proxies != nil {
		found.Proxies = proxies.Items
	}
	if found.World.Announcers != nil {
		found.Balancer, err = balancer(ctx, c.Dynamic())
	}
	return err
}

// permitted drops an error which only says that the user may not read something.
func permitted(what string, err error) error {
	if err == nil || apierrors.IsForbidden(err) {
		return nil
	}
	return fmt.Errorf("list %s: %w", what, err)
}
