package observe

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/svclab/svclab/e2e/probe"
	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/wait"
)

// unknownSync is how long WaitForKubeProxy waits where a node's kube-proxy does not tell what it has written:
// kube-proxy writes at most once a second by default (minSyncPeriod), and a little later than that.
const unknownSync = 1500 * time.Millisecond

// WaitForKubeProxy waits until kube-proxy on every node has written what the objects say, for at most bound. Where that
// cannot be known, it returns a line that says so. behind is how long each was seen not to have, by node.
//
// Traffic alone does not show it. A packet filter that is about to change may give the right answers by chance. And
// while kube-proxy rewrites a Service's rules, a connection that arrives at that instant may be lost. In nftables mode
// it is refused: the rules are replaced as one, but the map of endpoints that the old rule uses is gone a moment before
// a packet has left that rule (seen with Linux 6.18: 2 connections of 11,000 while the chain was rewritten 300 times; a
// chain that was not rewritten lost none of 64,000). A Service does not promise to avoid that, so it must not fall into
// the judged pass.
//
// It decides when the engine observes, never what it finds: a kube-proxy that does not answer, is stopped, or does not
// finish within the bound is reported and not waited for any longer.
func WaitForKubeProxy(ctx context.Context, exec probe.Exec, vantages []reach.Vantage, bound time.Duration) (behind map[string]time.Duration, line string) {
	var nodes []reach.Vantage
	for _, v := range vantages {
		known := slices.ContainsFunc(nodes, func(n reach.Vantage) bool { return n.Node == v.Node })
		if v.Kind == reach.Node && v.Unusable == "" && !known {
			nodes = append(nodes, v)
		}
	}
	var (
		troubles = make([]string, len(nodes))
		found    = make([]time.Duration, len(nodes))
		group    sync.WaitGroup
	)
	for i, v := range nodes {
		group.Go(func() {
			synced, err := probe.Synced(ctx, exec, v, bound)
			found[i] = synced.Behind
			switch {
			case err != nil:
				troubles[i] = err.Error()
			case !synced.Done:
				troubles[i] = v.Node + ": " + synced.Why
			}
		})
	}
	group.Wait()
	behind = map[string]time.Duration{}
	for i, v := range nodes {
		behind[v.Node] = found[i]
	}
	troubles = slices.DeleteFunc(troubles, func(text string) bool { return text == "" })
	if len(troubles) == 0 {
		return behind, ""
	}
	_ = wait.Sleep(ctx, unknownSync) // when ctx has ended, the caller sees it
	return behind, fmt.Sprintf("what kube-proxy has written is not known (%s); observed %s after the objects had settled", strings.Join(troubles, "; "), unknownSync)
}
