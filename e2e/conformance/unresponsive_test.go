package conformance

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/svclab/svclab/e2e/cluster"
)

// fakeDeployer is a cluster whose nodes all report running pods. Only the true nodes execute commands.
type fakeDeployer struct {
	true   map[string]bool
	full   map[string]bool // start no client
	stood  []string
	execs  int // commands on all nodes together
	rounds int
}

func (s *fakeDeployer) DeployClients(_ context.Context, slots map[string]string, _ string, _ ...string) error {
	s.stood, s.rounds = slices.Sorted(maps.Values(slots)), s.rounds+1
	return nil
}

func (s *fakeDeployer) Unresponsive(context.Context) (map[string]error, error) {
	unresponsive := map[string]error{}
	for _, name := range s.stood {
		if s.full[name] {
			unresponsive[name] = fmt.Errorf("%w: OutOfcpu", cluster.ErrNotStarted)
		} else if s.execs++; !s.true[name] {
			unresponsive[name] = errors.New("no answer in 15s")
		}
	}
	return unresponsive, nil
}

// planOn is a plan for a cluster of true nodes and of simulated ones that look like them.
func planOn(t *testing.T, machines, simulated int) (Plan, *fakeDeployer) {
	t.Helper()
	p := Plan{Options: Options{ClientOptions: ClientOptions{Sample: 6, Seed: 1, InPod: true}}, Clients: Clients{unresponsive: map[string]string{}, manifest: appImage + ":1"}}
	s := &fakeDeployer{true: map[string]bool{}}
	for i := range machines + simulated {
		n := node(fmt.Sprintf("n%03d", i), func(n *corev1.Node) { n.Status.NodeInfo.Architecture = "amd64" })
		p.nodes = append(p.nodes, n)
		s.true[n.Name] = i < machines
	}
	if err := p.chooseNodes(t.Context(), "c"); err != nil {
		t.Fatal(err)
	}
	return p, s
}

func deploy(t *testing.T, p *Plan, s *fakeDeployer) error {
	return p.deploy(t.Context(), s, func(ctx context.Context) error { return p.chooseNodes(ctx, "c") })
}

func TestDeployClientsReplacesUnresponsiveNodes(t *testing.T) {
	p, s := planOn(t, 12, 4)
	if err := deploy(t, &p, s); err != nil {
		t.Fatal(err)
	}
	if len(s.stood) != 6 || slices.ContainsFunc(s.stood, func(name string) bool { return !s.true[name] }) {
		t.Errorf("the clients run on %v", s.stood)
	}
	if !slices.Equal(slices.Sorted(maps.Values(p.Sample.Slots)), s.stood) || len(p.Cluster.Nodes) != 6 {
		t.Errorf("the plan is of %v, the report's nodes are %v", p.Sample.Slots, p.Cluster.Nodes)
	}
	if s.rounds == 1 || p.Sample.Left[noExec] == 0 || p.Sample.Left[noExec] > 4 {
		t.Errorf("after %d rounds, left out: %v; the test is no test where all answered", s.rounds, p.Sample.Left)
	}
}

// Of many simulated nodes only a few are tried; the rest is accounted for.
func TestDeployClientsKeepsResponsiveNodes(t *testing.T) {
	for seed := range uint64(200) {
		p, s := planOn(t, 10, 90)
		p.Seed = seed
		if err := p.chooseNodes(t.Context(), "c"); err != nil {
			t.Fatal(err)
		}
		err := deploy(t, &p, s)
		if s.execs > 6*(trials+1) || s.rounds > trials+1 {
			t.Fatalf("seed %d: %d commands in %d rounds", seed, s.execs, s.rounds)
		}
		if err != nil { // chance chose none that answers
			if !strings.Contains(err.Error(), noExec) || slices.ContainsFunc(s.stood, func(name string) bool { return s.true[name] }) {
				t.Errorf("seed %d: on %v: %v", seed, s.stood, err)
			}
			continue
		}
		if len(s.stood) == 0 || slices.ContainsFunc(s.stood, func(name string) bool { return !s.true[name] }) {
			t.Errorf("seed %d: the clients run on %v", seed, s.stood)
		}
		if accounted := p.Sample.Left[noExec] + p.Sample.Left[notTried] + len(s.stood); accounted != 100 && p.Sample.Left[notTried] > 0 {
			t.Errorf("seed %d: %d nodes are accounted for: %v", seed, accounted, p.Sample.Left)
		}
	}
}

func TestDeployClientsWithoutResponsiveNodes(t *testing.T) {
	p, s := planOn(t, 0, 30)
	err := deploy(t, &p, s)
	if err == nil || !strings.Contains(err.Error(), "18 that "+noExec) || !strings.Contains(err.Error(), "12 that "+notTried) {
		t.Errorf("got %v", err)
	}
}
