package runner

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/svclab/svclab/e2e/reach"
)

// proxied is a cluster whose nodes' kube-proxies say what a test wants.
type proxied struct {
	*fakeCluster
	said map[string]string

	lock  sync.Mutex
	asked []string
}

func (p *proxied) Prober(context.Context, reach.Vantage) (string, error) { return "prober", nil }

func (p *proxied) Exec(_ context.Context, v reach.Vantage, _ []string, _ io.Reader, stdout, _ io.Writer) error {
	p.lock.Lock()
	defer p.lock.Unlock()
	p.asked = append(p.asked, v.Name)
	if p.said[v.Node] == "" {
		return errors.New("no such container")
	}
	_, err := fmt.Fprintln(stdout, p.said[v.Node])
	return err
}

func TestFollowed(t *testing.T) {
	const done = `{"done":true}`
	vantages := []reach.Vantage{{Name: "pod/a", Kind: reach.Pod, Node: "a"}, {Name: "node/a", Kind: reach.Node, Node: "a"},
		{Name: "node/b", Kind: reach.Node, Node: "b"}, {Name: "node/c", Kind: reach.Node, Node: "c", Unusable: "stopped"}, {Name: "outside", Kind: reach.Outside}}
	for name, c := range map[string]struct {
		said map[string]string
		want []string
	}{
		"all have written":    {map[string]string{"a": done, "b": done}, nil},
		"one does not tell":   {map[string]string{"a": done, "b": `{"done":false,"why":"connection refused"}`}, []string{"b: connection refused", "is not known"}},
		"one cannot be asked": {map[string]string{"b": done}, []string{"node/a", "no such container"}},
	} {
		t.Run(name, func(t *testing.T) {
			cluster := &proxied{fakeCluster: newFakeCluster(t), said: c.said}
			s := &session{runner: New(cluster, nil), vantages: vantages, progress: &progress{}}
			line := s.followed(t.Context())
			if (line == "") != (len(c.want) == 0) {
				t.Errorf("told %q", line)
			}
			for _, want := range c.want {
				if !strings.Contains(line, want) {
					t.Errorf("%q is missing from %q", want, line)
				}
			}
			slices.Sort(cluster.asked)
			if !slices.Equal(cluster.asked, []string{"node/a", "node/b"}) {
				t.Errorf("asked %v; every usable node once", cluster.asked)
			}
		})
	}
}
