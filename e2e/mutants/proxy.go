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

// rulesLeft leaves rules of nftables mode on a node whose kube-proxy runs in iptables mode: in kube-proxy's own table, before the rules
// of iptables mode.
func rulesLeft(p struct {
	Node string `json:"node"`
	// Rules translate the destination of connections.
	Rules []string `json:"rules"`
}) Fault {
	const table, arriving, sent = "ip kube-proxy", mutantMark + "-arriving", mutantMark + "-sent"
	rules := strings.Join(p.Rules, "\n")
	return Fault{
		Table:  table,
		Chains: []string{arriving, sent},
		Slots:  []string{p.Node},
		Inject: func(ctx context.Context, lab Lab, scene Scene) error {
			text, err := scene.fill(fmt.Sprintf("table %s {\n chain %s {\n type nat hook prerouting priority dstnat - 20;\n %s\n}\n chain %s {\n type nat hook output priority -120;\n %[3]s\n}\n}\n",
				table, arriving, rules, sent))
			if err != nil {
				return err
			}
			return onNode(ctx, lab, p.Node, text, "nft", "-f", "-")
		},
		// The table may be that of a kube-proxy which runs in nftables mode again.
		Revert: func(ctx context.Context, lab Lab) error {
			script := fmt.Sprintf(`nft list chain %[1]s %[2]s >/dev/null 2>&1 || exit 0
				nft "flush chain %[1]s %[2]s; delete chain %[1]s %[2]s; flush chain %[1]s %[3]s; delete chain %[1]s %[3]s" || exit
				nft list table %[1]s | grep -q chain || nft delete table %[1]s`, table, arriving, sent)
			return onNode(ctx, lab, p.Node, "", "sh", "-c", script)
		},
	}
}
