//go:build live

package cluster_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/svclab/svclab/e2e/cluster"
	"github.com/svclab/svclab/e2e/cluster/docker"
	"github.com/svclab/svclab/e2e/probe"
	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/setup"
)

// liveSettings are those of a cluster of the tests' own, on the engine and with the images that the scripts choose.
func liveSettings(t *testing.T, name string) cluster.Settings {
	t.Helper()
	root, err := setup.Root()
	if err != nil {
		t.Fatal(err)
	}
	machine, err := setup.Prepare(t.Context(), setup.Options{Root: root, Progress: os.Stderr, Images: os.Getenv("IMAGES")})
	if err != nil {
		t.Fatal(err)
	}
	s := cluster.Defaults()
	s.Name, s.HostPort, s.Output = name, 0, filepath.Join(root, "_output", name)
	s.Manifests = os.DirFS(filepath.Join(root, "manifests"))
	s.Engine = docker.New(machine.DockerHost)
	s.Version = machine.KubernetesVersion
	s.Log = os.Stderr
	s.Images = machine.Images
	return s
}

func bounded() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), 5*time.Minute)
}

// up brings the cluster up and has it deleted at the end, unless KEEP is set.
func up(t *testing.T, s cluster.Settings) *cluster.Cluster {
	t.Helper()
	began := time.Now()
	c, err := cluster.Up(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("up in %s", time.Since(began).Round(time.Second/10))
	t.Cleanup(func() {
		ctx, cancel := bounded()
		defer cancel()
		if err := c.Close(ctx); err != nil {
			t.Error(err)
		}
		if os.Getenv("KEEP") != "" {
			return
		}
		if existed, err := cluster.Down(ctx, s); err != nil || !existed {
			t.Errorf("down: %v, %v", existed, err)
		}
		nothingLeft(t, s)
	})
	return c
}

// nothingLeft checks that neither containers nor a network nor a kubeconfig are there.
func nothingLeft(t *testing.T, s cluster.Settings) {
	t.Helper()
	ctx, cancel := bounded()
	defer cancel()
	for _, label := range []string{"io.x-k8s.kind.cluster", "io.svclab.cluster"} {
		if left, err := s.Engine.Containers(ctx, "label="+label+"="+s.Name); err != nil || len(left) > 0 {
			t.Errorf("left: %v, %v", left, err)
		}
	}
	if left, err := s.Engine.Networks(ctx, s.Name); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
	if _, err := os.Stat(s.Kubeconfig()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("left: %s (%v)", s.Kubeconfig(), err)
	}
}

func vantages(t *testing.T, c *cluster.Cluster) map[string]reach.Vantage {
	t.Helper()
	list, err := c.Vantages(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	byName := map[string]reach.Vantage{}
	for _, v := range list {
		if v.Unusable != "" {
			t.Errorf("%s: %s", v.Name, v.Unusable)
		}
		byName[v.Name] = v
	}
	return byName
}

func output(t *testing.T, c *cluster.Cluster, v reach.Vantage, argv ...string) string {
	t.Helper()
	var out bytes.Buffer
	if err := c.Exec(t.Context(), v, argv, nil, &out, os.Stderr); err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(out.String())
}

// podsReachPods checks that from every pod every other pod's address answers, unmasqueraded: each runs a server for it.
func podsReachPods(t *testing.T, c *cluster.Cluster) {
	t.Helper()
	all := vantages(t, c)
	var requests []probe.Request
	for _, v := range all {
		if v.Kind != reach.Pod {
			continue
		}
		path, err := c.Prober(t.Context(), v)
		if err != nil {
			t.Fatal(err)
		}
		serving, stop := context.WithCancel(t.Context())
		defer stop()
		go func() { // ends with an error when it is stopped
			_ = c.Exec(serving, v, []string{path, "serve", "--http", ":8099", "--name", v.PodName}, nil, nil, nil)
		}()
		for _, from := range all {
			if from.Kind != reach.Pod || from.Name == v.Name {
				continue
			}
			for _, addr := range v.Addrs {
				requests = append(requests, probe.Request{Vantage: from, Form: probe.OutsideHTTP,
					Target: reach.Target{Kind: reach.Endpoint, Service: "x/" + v.PodName, Host: addr.String(), Port: 8099, Protocol: reach.TCP}})
			}
		}
	}
	deadline := time.Now().Add(20 * time.Second)
	for {
		cells, err := probe.New(c).Observe(t.Context(), requests)
		if err != nil {
			t.Fatal(err)
		}
		wrong := slices.DeleteFunc(cells, func(cell reach.Cell) bool {
			o := cell.Observations[0]
			return o.Outcome == reach.Reached && slices.Contains(cell.Vantage.Addrs, o.Source)
		})
		if len(wrong) == 0 {
			return
		}
		if time.Now().After(deadline) {
			for _, cell := range wrong {
				t.Errorf("%s → %s (%s): %+v", cell.Vantage.Name, cell.Target.Service, cell.Target.Host, cell.Observations[0])
			}
			return
		}
		time.Sleep(200 * time.Millisecond)
	}
}

// dropped counts the packets that a node's guard has dropped.
func dropped(t *testing.T, c *cluster.Cluster, node reach.Vantage) string {
	t.Helper()
	return output(t, c, node, "sh", "-c", "nft list chain inet svclab guard | sed -n 's/.*counter packets \\([0-9]*\\).*/\\1/p' | tr '\\n' ' '")
}
