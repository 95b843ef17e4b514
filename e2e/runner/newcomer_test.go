package runner

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/scenario"
)

// told is a cluster that keeps what is run at its vantages, and may refuse it.
type told struct {
	*fakeCluster
	refuses bool
	ran     []string
}

func (c *told) Exec(_ context.Context, v reach.Vantage, argv []string, _ io.Reader, _, stderr io.Writer) error {
	c.ran = append(c.ran, v.Name+": "+strings.Join(argv, " "))
	if c.refuses {
		_, _ = io.WriteString(stderr, "not permitted\n")
		return errors.New("exit code 1")
	}
	return nil
}

// Clients outside forget who had an address before a goal's table asks for one that somebody must announce; only then.
func TestNewcomer(t *testing.T) {
	outside := []reach.Vantage{{Name: "pod/worker", Kind: reach.Pod}, {Name: "outside", Kind: reach.Outside}, {Name: "gone", Kind: reach.Outside, Unusable: "stopped"}}
	for name, c := range map[string]struct {
		goal  bool
		kinds scenario.Kinds
		want  string
	}{
		"a goal at a load balancer": {true, scenario.Kinds{reach.ClusterIP, reach.LoadBalancer}, "outside: ip neigh flush all"},
		"a goal at every target":    {true, nil, "outside: ip neigh flush all"},
		"a goal at other targets":   {true, scenario.Kinds{reach.NodePort}, ""},
		"a scenario":                {false, scenario.Kinds{reach.LoadBalancer}, ""},
	} {
		cluster := &told{fakeCluster: newFakeCluster(t)}
		s := &session{runner: New(cluster, nil), vantages: outside, goal: c.goal,
			scenario: scenario.Scenario{Tables: map[string]scenario.Table{"t": {Kinds: c.kinds}}}}
		if err := s.newcomer(t.Context(), []string{"t"}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if got := strings.Join(cluster.ran, "; "); got != c.want {
			t.Errorf("%s: ran %q, want %q", name, got, c.want)
		}
		cluster.refuses = true
		if err := s.newcomer(t.Context(), []string{"t"}); (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), "not permitted") {
			t.Errorf("%s, refused: %v", name, err)
		}
	}
}
