// Package ask makes the Case that package explain looks at: it reads the objects around one Service, predicts and
// observes it from every vantage, and looks at what its pods listen on where they refuse. It changes nothing.
package ask

import (
	"context"
	"fmt"
	"net/netip"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"

	"github.com/svclab/svclab/e2e/explain"
	"github.com/svclab/svclab/e2e/oracle"
	"github.com/svclab/svclab/e2e/probe"
	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/world"
)

// Cluster is what is asked; package cluster has it.
type Cluster interface {
	probe.Exec
	Client() kubernetes.Interface
	Dynamic() dynamic.Interface
	Facts(ctx context.Context) (world.Facts, error)
	Vantages(ctx context.Context) ([]reach.Vantage, error)
	// DNS is the cluster's DNS Service, which nodes are to ask; the zero value: none is known.
	DNS() netip.AddrPort
}

// proxyLabel is what kubeadm labels kube-proxy's pods with.
const proxyLabel = "k8s-app=kube-proxy"

// About gathers all that is to be known of a Service ("namespace/name"), whether it is there or not. With probe it
// is asked from every vantage; without, the table holds the predictions only. A table that is not as predicted is
// made once more, since the cluster may have been changing.
func About(ctx context.Context, c Cluster, service string, hopes explain.Hopes, probing bool) (explain.Case, error) {
	found, err := look(ctx, c, service, probing)
	if err == nil && probing && found.Table.Result() == reach.Fail {
		found, err = look(ctx, c, service, true)
	}
	if err != nil {
		return explain.Case{}, fmt.Errorf("look at service %s: %w", service, err)
	}
	found.Hopes = hopes
	if probing {
		found.Sockets = sockets(ctx, c, found)
	}
	return found, nil
}

// look takes one snapshot and, with probing, one table.
func look(ctx context.Context, c Cluster, service string, probing bool) (explain.Case, error) {
	found, err := gather(ctx, c, service)
	if err != nil {
		return found, err
	}
	vantages, err := c.Vantages(ctx)
	if err != nil {
		return found, err
	}
	t := reach.Table{Title: service, Vantages: vantages, Targets: found.World.Targets(service)}
	var (
		predictions []reach.Prediction
		requests    []probe.Request
		model       = oracle.New(found.World)
	)
	for _, v := range t.Vantages {
		for _, target := range t.Targets {
			if world.Applicable(v, target) {
				p := model.Predict(v, target)
				predictions = append(predictions, p)
				requests = append(requests, request(c, v, target, p))
			}
		}
	}
	cells := make([]reach.Cell, len(requests))
	if probing {
		if cells, err = probe.New(c).Observe(ctx, requests); err != nil {
			return found, err
		}
		relax(cells, predictions)
	}
	for i, cell := range cells {
		if !probing {
			cell = reach.Cell{Vantage: requests[i].Vantage, Target: requests[i].Target,
				Observations: []reach.Observation{{Outcome: reach.Unprobed, Detail: "only the prediction was asked for"}}}
		}
		t.Cells = append(t.Cells, reach.Judge(cell, predictions[i], nil))
	}
	found.Table = t
	return found, nil
}

// gather reads the objects. What the user may not read, beyond what a snapshot needs, stays unknown.
func gather(ctx context.Context, c Cluster, service string) (explain.Case, error) {
	namespace, _, _ := strings.Cut(service, "/")
	found := explain.Case{Service: service}
	facts, err := c.Facts(ctx)
	if err != nil {
		return found, err
	}
	facts.NodesUseClusterDNS = c.DNS().IsValid() // see request
	if found.World, err = world.Take(ctx, c.Client(), c.Dynamic(), facts, namespace); err != nil {
		return found, err
	}
	all := metav1.ListOptions{}
	events, err := c.Client().CoreV1().Events(namespace).List(ctx, all)
	if err = permitted("events", err); err != nil {
		return found, err
	}
	if events != nil {
		found.Events = events.Items
	}
	policies, err := c.Client().NetworkingV1().NetworkPolicies(namespace).List(ctx, all)
	if err = permitted("networkpolicies", err); err != nil {
		return found, err
	}
	if policies != nil {
		found.Policies = policies.Items
	}
	proxies, err := c.Client().CoreV1().Pods(metav1.NamespaceSystem).List(ctx, metav1.ListOptions{LabelSelector: proxyLabel})
	if err = permitted("kube-proxy's pods", err); err != nil {
		return found, err
	}
	if proxies != nil {
		found.Proxies = proxies.Items
	}
	if found.World.Announcers != nil { // there is a MetalLB
		found.World.Facts.LoadBalancer = true
		if found.Balancer, err = balancer(ctx, c.Dynamic()); err != nil {
			return found, err
		}
	}
	return found, nil
}

// permitted makes nothing of an error that only says that the user may not read something.
func permitted(what string, err error) error {
	if err == nil || apierrors.IsForbidden(err) {
		return nil
	}
	return fmt.Errorf("list %s: %w", what, err)
}
