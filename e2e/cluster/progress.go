package cluster

import (
	"context"
	"fmt"
	"io"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/svclab/svclab/e2e/wait"
)

// The bounds of every wait, in one place. Each is far above what a loaded two-core machine needs.
const (
	apiServerIn     = 5 * time.Minute  // kind has created the nodes and started the control plane
	nodesJoinedIn   = 4 * time.Minute  // the kubelets have registered their nodes, and kubeadm has labelled them
	podCIDRsIn      = 3 * time.Minute  // the controller manager gives each node its pod ranges
	proxySyncedIn   = 4 * time.Minute  // kube-proxy runs and has programmed its rules
	dnsAnswersIn    = 3 * time.Minute  // CoreDNS runs, forwards, and its Service works from every node
	dnsFirstIn      = time.Minute      // the same, before CoreDNS's pods are replaced
	metalLBIn       = 4 * time.Minute  // controller and speakers are ready, the pool is admitted
	clientsReadyIn  = 3 * time.Minute  // the client pods run
	admittedIn      = time.Minute      // a dry run is admitted: a new namespace gets its service account
	stragglersIn    = time.Minute      // the other client pods run, after one more did
	outsideIn       = 30 * time.Second // the outside world answers
	nodeBackIn      = 2 * time.Minute  // a node that was started again works
	deleteIn        = 2 * time.Minute  // everything is removed
	namespaceGoneIn = time.Minute      // svclab's namespaces in a foreign cluster are removed
)

// quietFor is the longest time without a line of progress.
const quietFor = 10 * time.Second

// progress logs what is being done, one line each. Its methods may be called concurrently.
type progress struct {
	mu     sync.Mutex
	out    io.Writer
	logged time.Time // when the last line was
}

func (p *progress) logf(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, _ = fmt.Fprintf(p.out, format+"\n", args...)
	p.logged = time.Now()
}

// waiting logs a wait that takes long, unless a line was logged a short while ago.
func (p *progress) waiting(s wait.State) {
	p.mu.Lock()
	due := s.After >= quietFor && time.Since(p.logged) >= quietFor
	p.mu.Unlock()
	if due {
		p.logf("  … %s, %.0f s", shortened(s.String()), s.After.Seconds())
	}
}

// await waits until a condition is met, and logs a wait that takes long.
func (p *progress) await(ctx context.Context, what string, limit time.Duration, condition wait.Condition, with ...wait.Option) error {
	return wait.For(ctx, what, condition, append([]wait.Option{wait.Timeout(limit), wait.Progress(p.waiting)}, with...)...)
}

// on has a wait evaluate its condition whenever objects of a namespace change: all of a resource, or the named one.
func (c *Cluster) on(group, resource, namespace, name string) wait.Option {
	return wait.On(c.dynamic, wait.Objects{Resource: schema.GroupVersionResource{Group: group, Version: "v1", Resource: resource}, Namespace: namespace, Name: name})
}

// shortened is the beginning of a text that is too long for a line of progress.
func shortened(text string) string { return shortenedTo(text, 200) }

// shortenedTo is the beginning of a text, of at most so many characters.
func shortenedTo(text string, most int) string {
	if runes := []rune(text); len(runes) > most {
		return string(runes[:most]) + "…"
	}
	return text
}
