package fuzz

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/svclab/svclab/e2e/oracle"
	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/world"
)

// fault is what a history suffers behind the oracle's back, to see that it is noticed: each breaks a rule over time.
type fault struct {
	// what says what is wrong.
	what string
	// begin is a shell command for every node, done once at the start, and undo reverts it. $1 is the first Service's ClusterIP, $2 the
	// address and port of one of its UDP endpoints, $3 is "ip" or "ip6". always is done with each operation.
	begin, undo, always string
	// freeze stops kube-proxy on the last node.
	freeze bool
}

// faultTable is the packet filter's table that faults have.
const faultTable = "svclab-fault"

func faults() map[string]fault {
	undo := "nft delete table inet " + faultTable + " 2>/dev/null; nft delete table ip " + faultTable + " 2>/dev/null; nft delete table ip6 " + faultTable + " 2>/dev/null; true"
	return map[string]fault{
		"conntrack-lost": {what: "each node forgets all connections with each operation", always: "conntrack -F 2>/dev/null"},
		"proxy-stopped":  {what: "kube-proxy on one node follows nothing", freeze: true},
		"udp-stale": {what: "datagrams to the first Service go to the endpoint that it had at first", undo: undo,
			begin: `nft add table $3 ` + faultTable + ` && for hook in prerouting output; do
nft "add chain $3 ` + faultTable + ` $hook { type nat hook $hook priority -110; }" && nft "add rule $3 ` + faultTable + ` $hook $3 daddr $1 udp dport 53 dnat to $2" || exit
done`},
		"affinity-lost": {what: "each node forgets which client goes to which endpoint with each operation",
			always: `for family in ip ip6; do nft list sets $family 2>/dev/null | awk '$1 == "set" && $2 ~ /^affinity-/ { print $2 }' | while read -r set; do nft flush set $family kube-proxy "$set"; done; done; true`},
	}
}

// Faults are the names of what a run can inject, with what is wrong then.
func Faults() string {
	var list []string
	for _, name := range slices.Sorted(maps.Keys(faults())) {
		list = append(list, name+": "+faults()[name].what)
	}
	return strings.Join(list, "; ")
}

// onNodes runs a shell command on every node.
func (s *session) onNodes(ctx context.Context, script string, args ...string) (err error) {
	if script == "" {
		return nil
	}
	for _, v := range s.vantages {
		if v.Kind == reach.Node && v.Unusable == "" {
			err = errors.Join(err, s.onNode(ctx, v.Node, append([]string{"sh", "-c", script, "sh"}, args...)...))
		}
	}
	return err
}

// inject begins the fault of the settings. revert, which is never nil, ends it.
func (s *session) inject(ctx context.Context, start *oracle.Oracle) (revert func(context.Context) error, err error) {
	f := faults()[s.Inject]
	last := s.scene.Nodes[len(s.scene.Nodes)-1]
	revert = func(ctx context.Context) error {
		err := s.onNodes(ctx, f.undo)
		if f.freeze {
			err = errors.Join(err, s.cluster.ThawProxy(ctx, last))
		}
		return err
	}
	if f.freeze {
		return revert, s.cluster.FreezeProxy(ctx, last)
	}
	if f.begin == "" {
		return revert, nil
	}
	w := start.World()
	service, there := w.Service(s.sandboxName + "/" + serviceName(0))
	if !there {
		return revert, errors.New("inject a fault: the history has no first Service")
	}
	addr := world.ClusterIPs(&service)[0]
	family := map[bool]string{true: "ip", false: "ip6"}[addr.Is4()]
	for _, e := range world.Endpoints(w.SlicesOf(world.Name(&service), world.FamilyOf(addr)), "p1", corev1.ProtocolUDP) {
		if e.Ready {
			return revert, s.onNodes(ctx, f.begin, addr.String(), netip.AddrPortFrom(e.Addr, e.Port).String(), family)
		}
	}
	return revert, fmt.Errorf("inject a fault: service %s has no ready endpoint for UDP", world.Name(&service))
}
