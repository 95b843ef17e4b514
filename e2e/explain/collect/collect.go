// Package collect makes the Case that package explain works on: it reads the objects around one Service, predicts and
// observes the Service from every vantage, and reads what its pods listen on where they refuse. It changes nothing.
package collect

import (
	"context"
	"fmt"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"

	"github.com/svclab/svclab/e2e/explain"
	"github.com/svclab/svclab/e2e/observe"
	"github.com/svclab/svclab/e2e/oracle"
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

// About gathers what there is to know of a Service ("namespace/name"), whether it is there or not. With probing, the
// table holds what was observed from every vantage; without, the predictions only.
func About(ctx context.Context, c Cluster, service string, intent explain.Intent, probing bool) (explain.Case, error) {
	found, err := about(ctx, c, probe.New(c), service, probing)
	if err != nil {
		return explain.Case{}, fmt.Errorf("look at service %s: %w", service, err)
	}
	found.Intent = intent
	return found, nil
}

func about(ctx context.Context, c Cluster, prober observe.Prober, service string, probing bool) (explain.Case, error) {
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
	engine := observe.Engine{Policy: observe.Explain(), Prober: prober, Timeouts: observe.DefaultTimeouts(), Within: within, Adjust: relax,
		Predict: func(w world.World) func(reach.Vantage, reach.Target) reach.Prediction { return oracle.New(w).Predict },
		Tables:  func(w world.World) ([]observe.Table, error) { return []observe.Table{table(w, vantages, service)}, nil },
		Snapshot: func(ctx context.Context) (world.World, error) {
			w, err := world.Take(ctx, c.Client(), c.Dynamic(), facts, namespace)
			_, w.Facts.NodesUseClusterDNS = w.DNSService()                     // package observe sends their lookups there
			w.Facts.LoadBalancer = w.Facts.LoadBalancer || w.Announcers != nil // there is a MetalLB
			return w, err
		}}
	if probing {
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
		found.Table = predicted(engine.Predict(found.World), table(found.World, vantages, service))
	}
	if err := surroundings(ctx, c, namespace, &found); err != nil {
		return found, err
	}
	if probing {
		found.Sockets = sockets(ctx, c, found)
	}
	return found, nil
}

// table has every cell of a Service.
func table(w world.World, vantages []reach.Vantage, service string) observe.Table {
	t := observe.Table{Title: service, Vantages: vantages, Targets: w.Targets(service)}
	for _, v := range t.Vantages {
		for _, target := range t.Targets {
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
