package mutants

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/svclab/svclab/e2e/scenario"
	"github.com/svclab/svclab/e2e/wait"
	"github.com/svclab/svclab/e2e/world"
)

// changesEvery is how often objects are looked at for a change.
const changesEvery = 200 * time.Millisecond

// proxyLate makes a node's kube-proxy follow each change of the scenario's Services and EndpointSlices late: it is stopped, and
// goes on for a moment that long after the last change.
func proxyLate(p struct {
	Node string            `json:"node"`
	By   scenario.Duration `json:"by"`
}) Fault {
	stops, following := proxyFrozen(p.Node), &background{}
	return Fault{
		Inject: func(ctx context.Context, lab Lab, scene Scene) error {
			if p.By <= 0 {
				return errors.New("proxyLate: by is missing")
			}
			known, err := versions(ctx, lab, scene.Namespace)
			if err != nil {
				return err
			}
			if err := stops.Inject(ctx, lab, scene); err != nil {
				return err
			}
			following.start(ctx, func(ctx context.Context) error {
				return follow(ctx, lab, scene, p.Node, time.Duration(p.By), known)
			})
			return nil
		},
		Revert: func(ctx context.Context, lab Lab) error {
			return errors.Join(following.stop(), stops.Revert(ctx, lab))
		},
	}
}

// follow lets a kube-proxy that is stopped go on for a moment, late after each last change, until ctx ends.
func follow(ctx context.Context, lab Lab, scene Scene, slot string, late time.Duration, known string) error {
	node := scene.Nodes[slot].Name
	var changed time.Time // zero: it has followed
	for {
		if err := wait.Sleep(ctx, changesEvery); err != nil {
			return err
		}
		now, err := versions(ctx, lab, scene.Namespace)
		if err != nil {
			return err
		}
		if now != known {
			known, changed = now, time.Now()
		}
		if changed.IsZero() || time.Since(changed) < late {
			continue
		}
		changed = time.Time{}
		if err := lab.ThawProxy(ctx, node); err != nil {
			return err
		}
		if err := lab.FreezeProxy(ctx, node); err != nil {
			return err
		}
	}
}

// versions are those of a namespace's Services and EndpointSlices.
func versions(ctx context.Context, lab Lab, namespace string) (string, error) {
	services, err := lab.Client().CoreV1().Services(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return "", fmt.Errorf("list the services: %w", err)
	}
	endpoints, err := lab.Client().DiscoveryV1().EndpointSlices(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return "", fmt.Errorf("list the endpointslices: %w", err)
	}
	var all []string
	for _, s := range services.Items {
		all = append(all, s.Name+" "+s.ResourceVersion)
	}
	for _, s := range endpoints.Items {
		all = append(all, s.Name+" "+s.ResourceVersion)
	}
	slices.Sort(all)
	return strings.Join(all, ", "), nil
}

// modeKept has a node's kube-proxy run in the mode that it was to leave.
func modeKept(p struct {
	Node string `json:"node"`
}) Fault {
	start := func(ctx context.Context, lab Lab, kept bool) error {
		facts, err := lab.Facts(ctx)
		if err != nil {
			return err
		}
		node := facts.Slots[p.Node]
		mode := facts.ModeOf(node)
		if kept {
			mode = world.OtherMode(mode)
		}
		return lab.StartProxyIn(ctx, node, mode)
	}
	injected := false
	return Fault{
		Inject: func(ctx context.Context, lab Lab, _ Scene) error {
			injected = true
			return start(ctx, lab, true)
		},
		// What a process that was killed has left, the next Up restores.
		Revert: func(ctx context.Context, lab Lab) error {
			if !injected {
				return nil
			}
			err := start(ctx, lab, false)
			injected = err != nil
			return err
		},
	}
}
