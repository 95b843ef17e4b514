package runner

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/svclab/svclab/e2e/probe"
	"github.com/svclab/svclab/e2e/reach"
)

// unsaid is how long is waited where a node's proxy does not tell what it has written: kube-proxy writes at most
// once a second unless it is told otherwise (minSyncPeriod), and a little later than that.
const unsaid = 1500 * time.Millisecond

// followed waits until kube-proxy on every node has written what the objects say, and returns what is to be told.
//
// Traffic alone does not show it: a packet filter that is about to change may give the right answers by chance, and
// while kube-proxy rewrites a Service's rules a connection that comes in at that instant may be lost. In nftables
// mode it is refused: the rules it is going through are replaced as one, but the map of endpoints that the old rule
// uses is gone a moment before a packet has left it (seen with Linux 6.18, 2 connections of 11,000 while the chain
// was rewritten 300 times; a chain nobody rewrites lost none of 64,000). That is nothing a Service promises not to
// do, so it must not fall into the judged pass.
//
// It decides when is looked, never what is found: a proxy that cannot be asked, is stopped, or is not done within
// the bound is told and not waited for any longer.
func (s *session) followed(ctx context.Context) string {
	exec, ok := s.runner.cluster.(Commander)
	if !ok {
		return ""
	}
	s.progress.say("kube-proxy to have written its rules", "")
	defer s.progress.say("", "")
	var (
		asked []reach.Vantage
		seen  []string
	)
	for _, v := range s.vantages {
		if v.Kind == reach.Node && v.Unusable == "" && !slices.Contains(seen, v.Node) {
			asked, seen = append(asked, v), append(seen, v.Node)
		}
	}
	var (
		silent = make([]string, len(asked))
		group  sync.WaitGroup
	)
	for i, v := range asked {
		group.Go(func() {
			said, err := probe.Synced(ctx, exec, v, s.runner.settings.Convergence)
			switch {
			case err != nil:
				silent[i] = err.Error()
			case !said.Done:
				silent[i] = v.Node + ": " + said.Why
			}
		})
	}
	group.Wait()
	silent = slices.DeleteFunc(silent, func(text string) bool { return text == "" })
	if len(silent) == 0 {
		return ""
	}
	pause(ctx, unsaid)
	return fmt.Sprintf("what kube-proxy has written is not known (%s); looked %s after the objects had settled", strings.Join(silent, "; "), unsaid)
}
