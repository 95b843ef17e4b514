package trace

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"sync"

	"github.com/svclab/svclab/e2e/probe"
	"github.com/svclab/svclab/e2e/reach"
)

// InPods is an Exec that sends from pods which are not svclab's: it runs the prober of their node in their network namespace.
// Nothing is put into such a pod, and it needs no shell. Names are looked up at a DNS server that the request gives, by full name.
type InPods struct {
	// Lab runs programs at svclab's own vantages.
	Lab probe.Exec
	// Own reports whether a pod vantage is svclab's own.
	Own func(v reach.Vantage) bool

	mu    sync.Mutex
	found map[string]string // the network namespace by the pod's address
}

func (e *InPods) node(v reach.Vantage) reach.Vantage {
	return reach.Vantage{Name: "node/" + v.Node, Kind: reach.Node, Node: v.Node}
}

// Prober implements probe.Lab.
func (e *InPods) Prober(ctx context.Context, v reach.Vantage) (string, error) {
	if v.Kind == reach.Pod && !e.Own(v) {
		v = e.node(v)
	}
	return e.Lab.Prober(ctx, v)
}

// Exec implements probe.Lab.
func (e *InPods) Exec(ctx context.Context, v reach.Vantage, argv []string, stdin io.Reader, stdout, stderr io.Writer) error {
	if v.Kind != reach.Pod || e.Own(v) {
		return e.Lab.Exec(ctx, v, argv, stdin, stdout, stderr)
	}
	if len(v.Addrs) == 0 {
		return fmt.Errorf("pod %s has no address", v.Name)
	}
	namespace, err := e.namespace(ctx, v, v.Addrs[0])
	if err != nil {
		return err
	}
	return e.Lab.Exec(ctx, e.node(v), append([]string{"nsenter", "--net=" + namespace}, argv...), stdin, stdout, stderr)
}

// namespace finds the network namespace that has a pod's address among those that the container runtime keeps. A pod that stands in
// for a node sees them below the root of the node's first process.
func (e *InPods) namespace(ctx context.Context, v reach.Vantage, addr netip.Addr) (string, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if path := e.found[addr.String()]; path != "" {
		return path, nil
	}
	script := `for n in /proc/1/root/run/netns/*; do
		if nsenter --net="$n" ip -o addr show 2>/dev/null | grep -q -F " $0/"; then echo "$n"; exit; fi
	done`
	var out bytes.Buffer
	if err := e.Lab.Exec(ctx, e.node(v), []string{"sh", "-c", script, addr.String()}, nil, &out, nil); err != nil {
		return "", fmt.Errorf("find the network namespace of pod %s on %s: %w", v.Name, v.Node, err)
	}
	path := strings.TrimSpace(out.String())
	if path == "" {
		return "", fmt.Errorf("no network namespace on %s has the address %s of pod %s", v.Node, addr, v.Name)
	}
	if e.found == nil {
		e.found = map[string]string{}
	}
	e.found[addr.String()] = path
	return path, nil
}
