package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/svclab/svclab/e2e/cluster/docker"
)

func TestDecide(t *testing.T) {
	want := marker{Name: "lab", Config: "new", Summary: "3 nodes"}
	nodes := []string{"lab-control-plane", "lab-worker"}
	node := func(name, state, network string) docker.Container {
		return docker.Container{Name: name, State: state, Networks: map[string]docker.Attachment{network: {}}}
	}
	both := func(state, network string) []docker.Container {
		return []docker.Container{node("lab-worker", state, network), node("lab-control-plane", "running", network)}
	}
	own := []docker.Network{{Name: "lab", Labels: map[string]string{ownerLabel: "lab", configLabel: "new"}}}
	older := []docker.Network{{Name: "lab", Labels: map[string]string{ownerLabel: "lab", configLabel: "old"}}}
	others := []docker.Network{{Name: "lab", Labels: map[string]string{"x": "y"}}}
	whole := &marker{Name: "lab", Config: "new"}
	for name, c := range map[string]struct {
		have actual
		want action
		why  string
	}{
		"nothing":                                   {actual{}, create, "no cluster"},
		"our network without nodes":                 {actual{Networks: own}, create, "no cluster"},
		"another's network":                         {actual{Networks: others}, refuse, "a Docker network called lab"},
		"whole":                                     {actual{Nodes: both("running", "lab"), Networks: own, Marker: whole}, reuse, "as configured"},
		"one stopped":                               {actual{Nodes: both("exited", "lab"), Networks: own, Marker: whole}, start, "lab-worker is exited"},
		"one paused":                                {actual{Nodes: both("paused", "lab"), Networks: own, Marker: whole}, start, "lab-worker is paused"},
		"cut off while it was made":                 {actual{Nodes: both("running", "lab"), Networks: own}, recreate, "interrupted"},
		"cut off after the first node":              {actual{Nodes: both("running", "lab")[:1], Networks: own}, recreate, "interrupted"},
		"other configuration":                       {actual{Nodes: both("running", "lab"), Networks: older, Marker: &marker{Name: "lab", Config: "old", Summary: "2 nodes"}}, recreate, "from (2 nodes) to (3 nodes)"},
		"other configuration, stopped":              {actual{Nodes: both("exited", "lab"), Networks: older, Marker: &marker{Name: "lab", Config: "old"}}, recreate, "configuration changed"},
		"a node is missing":                         {actual{Nodes: both("running", "lab")[1:], Networks: own, Marker: whole}, recreate, "its nodes are lab-control-plane, not"},
		"network pruned":                            {actual{Nodes: both("exited", "lab"), Marker: whole}, recreate, "network is gone"},
		"kind's own cluster":                        {actual{Nodes: both("running", "kind")}, refuse, "kind cluster called lab"},
		"kind's own, stopped":                       {actual{Nodes: both("exited", "kind")}, refuse, "kind cluster called lab"},
		"kind's own next to our network":            {actual{Nodes: both("running", "kind"), Networks: own}, refuse, "kind cluster called lab"},
		"on a network that we did not make":         {actual{Nodes: both("running", "lab"), Networks: others}, refuse, "kind cluster called lab"},
		"killed while it was made, network removed": {actual{Nodes: both("created", "lab"), Intent: true}, recreate, "interrupted"},
		"pruned, and not noted here":                {actual{Nodes: both("created", "lab")}, refuse, "kind cluster called lab"},
		"kind's own though svclab began":            {actual{Nodes: both("running", "kind"), Intent: true}, refuse, "kind cluster called lab"},
		"on another's though svclab began":          {actual{Nodes: both("running", "lab"), Networks: others, Intent: true}, refuse, "kind cluster called lab"},
		"another's marker":                          {actual{Nodes: both("running", "kind"), Marker: &marker{Name: "other"}}, refuse, "kind cluster called lab"},
	} {
		got := decide(c.have, want, nodes)
		if got.Action != c.want || !strings.Contains(got.Why, c.why) {
			t.Errorf("%s: %s because %q, want %s because …%s…", name, got.Action, got.Why, c.want, c.why)
		}
	}
}

func TestForeignClusterIsAUserError(t *testing.T) {
	err := foreign("lab", "a kind cluster called lab exists (node lab-worker), and svclab did not make it")
	var p *Problem
	if !errors.Is(err, ErrForeignCluster) || !errors.As(err, &p) || p.ExitCode() != 2 {
		t.Fatal(err)
	}
	for _, part := range []string{"lab-worker", "leaves it alone", "fix: ", "kind delete cluster --name lab"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q lacks %q", err, part)
		}
	}
}

// fakeEngine answers docker commands by their first words, and records them.
type fakeEngine struct {
	t       *testing.T
	answers map[string]string // by a part of the command line
	asked   []string
}

// What docker version and docker info print of an engine, in part.
const (
	serverText = `{"Version":"20.10","Components":[{"Name":"Engine"}]}`
	infoText   = `{"ID":"ABCD:EFGH","OperatingSystem":"Debian GNU/Linux 12 (bookworm)"}`
)

func (f *fakeEngine) engine() *docker.Engine {
	return docker.New("", docker.WithRunner(func(_ context.Context, c docker.Command) error {
		line := strings.Join(c.Argv[1:], " ")
		f.asked = append(f.asked, line)
		for part, answer := range f.answers {
			if strings.Contains(line, part) {
				if text, failed := strings.CutPrefix(answer, "error: "); failed {
					_, _ = io.WriteString(c.Stderr, text)
					return errors.New("exit status 1")
				}
				if c.Stdout != nil {
					_, _ = io.WriteString(c.Stdout, answer)
				}
			}
		}
		return nil
	}))
}

// Whatever Up and Down are called with, a cluster that svclab did not make sees no command that changes anything.
func TestForeignClusterIsLeftAlone(t *testing.T) {
	fake := &fakeEngine{t: t, answers: map[string]string{
		"version --format": serverText, "info --format": infoText,
		"label=io.x-k8s.kind.cluster=svclab":     "1",
		"container inspect 1":                    `[{"Id":"1","Name":"/svclab-control-plane","State":{"Status":"running"},"NetworkSettings":{"Networks":{"kind":{}}}}]`,
		"cp svclab-control-plane:/kind/svclab/c": "error: Error: No such container:path",
	}}
	s := testSettings(t)
	s.Engine = fake.engine()
	if _, err := Up(t.Context(), s); !errors.Is(err, ErrForeignCluster) {
		t.Errorf("Up: %v", err)
	}
	if _, err := Down(t.Context(), s); !errors.Is(err, ErrForeignCluster) {
		t.Errorf("Down: %v", err)
	}
	if _, err := Attach(t.Context(), s, Shared); !errors.Is(err, ErrForeignCluster) {
		t.Errorf("Attach: %v", err)
	}
	for _, line := range fake.asked {
		verb, _, _ := strings.Cut(line, " ")
		if !slices.Contains([]string{"version", "info", "context"}, verb) && verb != "ps" && verb != "container" && !strings.HasPrefix(line, "network ls") && !strings.HasPrefix(line, "cp svclab-control-plane:") {
			t.Errorf("it ran docker %s", line)
		}
	}
}

// A run of the suite deletes only the cluster that it made, whatever it finds.
func TestARunDeletesOnlyWhatItMade(t *testing.T) {
	for name, c := range map[string]struct {
		made    string // the run that made the cluster
		workers int    // wanted; the cluster has none
		up      error
		deleted bool
	}{
		"a cluster that svclab up made":             {"", 0, nil, false},
		"one that another run made":                 {"9", 0, nil, false},
		"one with another configuration":            {"", 1, ErrNotOfRun, false},
		"its own":                                   {"7", 0, nil, true},
		"its own, which the settings do not fit to": {"7", 1, nil, true},
	} {
		there, s := testSettings(t), testSettings(t)
		there.Workers, s.Workers, s.Use.Run = 0, c.workers, "7"
		var changed []string
		s.Engine = docker.New("", docker.WithRunner(func(_ context.Context, command docker.Command) error {
			line := strings.Join(command.Argv[1:], " ")
			switch {
			case strings.HasPrefix(line, "network inspect"):
				_, err := fmt.Fprintf(command.Stdout, `[{"Name":%q,"Labels":{%q:%q,%q:%q}}]`, s.Name, ownerLabel, s.Name, runLabel, c.made)
				return err
			case strings.HasPrefix(line, "rm ") || strings.HasPrefix(line, "network rm ") || strings.HasPrefix(line, "network create"):
				changed = append(changed, line)
				return errors.New("exit status 1") // which ends the attempt
			}
			return running(there, command)
		}))
		if c.up != nil {
			if _, err := Up(t.Context(), s); !errors.Is(err, c.up) || !strings.Contains(err.Error(), "was there before this run") || len(changed) > 0 {
				t.Errorf("%s: Up: %v; it ran %q", name, err, changed)
			}
		}
		_, err := Down(t.Context(), s)
		if deleted := len(changed) > 0; deleted != c.deleted || !deleted && err != nil {
			t.Errorf("%s: Down: %v; it ran %q", name, err, changed)
		}
	}
}

// The host is a client only where it is on the nodes' network.
func TestHostApart(t *testing.T) {
	loopback := netip.MustParseAddr("127.0.0.1") // which every machine has
	for want, c := range map[string]struct {
		info   docker.Info
		bridge netip.Addr
	}{
		"": {docker.Info{Endpoint: "tcp://127.0.0.1:2375"}, loopback},
		"this machine has none of the addresses of the nodes' bridge ([192.0.2.1])":             {docker.Info{}, netip.MustParseAddr("192.0.2.1")},
		"Docker Desktop has its networks in a virtual machine":                                  {docker.Info{Desktop: true}, netip.MustParseAddr("192.0.2.1")},
		"the Docker engine is reached at ssh://ann@build, and its networks are on that machine": {docker.Info{Endpoint: "ssh://ann@build"}, netip.MustParseAddr("192.0.2.1")},
	} {
		if got, err := hostApart(c.info, []netip.Addr{c.bridge}); got != want || err != nil {
			t.Errorf("%q, %v; want %q", got, err, want)
		}
	}
}
