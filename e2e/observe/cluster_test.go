package observe

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/svclab/svclab/e2e/reach"
)

// programs is an Exec that answers with a text for each node, and keeps what was run.
type programs struct {
	answers map[string]string // by node; a missing one is an error
	lock    sync.Mutex
	ran     []string
}

func (p *programs) Prober(context.Context, reach.Vantage) (string, error) { return "prober", nil }

func (p *programs) Exec(_ context.Context, v reach.Vantage, argv []string, _ io.Reader, stdout, stderr io.Writer) error {
	p.lock.Lock()
	defer p.lock.Unlock()
	p.ran = append(p.ran, v.Name+": "+strings.Join(argv, " "))
	answer, found := p.answers[v.Node]
	if !found {
		_, _ = io.WriteString(stderr, "not permitted\n")
		return errors.New("exit code 1")
	}
	_, err := fmt.Fprintln(stdout, answer)
	return err
}

func TestWaitForKubeProxy(t *testing.T) {
	const done = `{"done":true}`
	vantages := []reach.Vantage{{Name: "pod/a", Kind: reach.Pod, Node: "a"}, {Name: "node/a", Kind: reach.Node, Node: "a"}, {Name: "node/a2", Kind: reach.Node, Node: "a"},
		{Name: "node/b", Kind: reach.Node, Node: "b"}, {Name: "node/c", Kind: reach.Node, Node: "c", Unusable: "stopped"}, {Name: "outside", Kind: reach.Outside}}
	for name, c := range map[string]struct {
		answers map[string]string
		want    []string
		behind  time.Duration
	}{
		"every kube-proxy has written": {map[string]string{"a": done, "b": done}, nil, 0},
		"one was late":                 {map[string]string{"a": done, "b": `{"done":true,"behindNs":3000000000}`}, nil, 3 * time.Second},
		"one does not tell":            {map[string]string{"a": done, "b": `{"done":false,"why":"connection refused"}`}, []string{"(b: connection refused)", "is not known", "1.5s after"}, 0},
		"one cannot be reached":        {map[string]string{"b": done}, []string{"node/a", "not permitted"}, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			exec, began := &programs{answers: c.answers}, time.Now()
			behind, line := WaitForKubeProxy(t.Context(), exec, vantages, 4*time.Second)
			if behind["b"] != c.behind {
				t.Errorf("%s: b was %s behind, want %s", name, behind["b"], c.behind)
			}
			if (line == "") != (len(c.want) == 0) {
				t.Errorf("%s: %q", name, line)
			}
			for _, want := range c.want {
				if !strings.Contains(line, want) {
					t.Errorf("%s: %q is missing from %q", name, want, line)
				}
			}
			waited := time.Duration(0)
			if len(c.want) > 0 {
				waited = unknownSync
			}
			if got := time.Since(began); got != waited {
				t.Errorf("%s: it took %s, want %s", name, got, waited)
			}
			slices.Sort(exec.ran)
			if got := strings.Join(exec.ran, "; "); got != "node/a: prober synced --wait 4s; node/b: prober synced --wait 4s" {
				t.Errorf("%s: ran %q, want every usable node once", name, got)
			}
		})
	}
}

func TestFlushNeighbours(t *testing.T) {
	vantages := []reach.Vantage{{Name: "pod/worker", Kind: reach.Pod}, {Name: "outside", Kind: reach.Outside}, {Name: "gone", Kind: reach.Outside, Unusable: "stopped"}}
	exec := &programs{answers: map[string]string{"": ""}}
	if err := FlushNeighbours(t.Context(), exec, vantages); err != nil {
		t.Error(err)
	}
	if got := strings.Join(exec.ran, "; "); got != "outside: ip neigh flush all" {
		t.Errorf("ran %q", got)
	}
	if err := FlushNeighbours(t.Context(), &programs{}, vantages); err == nil || err.Error() != "flush the neighbours of outside: exit code 1 not permitted" {
		t.Errorf("%v", err)
	}
}
