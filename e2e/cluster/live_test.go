//go:build e2e

package cluster_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/svclab/svclab/e2e/cluster"
	"github.com/svclab/svclab/e2e/cluster/docker"
	"github.com/svclab/svclab/e2e/setup"
)

// liveSettings are those of a cluster of the tests' own, on the engine and with the images that the scripts choose.
func liveSettings(t *testing.T, name string) cluster.Settings {
	t.Helper()
	root, err := setup.Root()
	if err != nil {
		t.Fatal(err)
	}
	machine, err := setup.Prepare(t.Context(), setup.Options{Root: root, Progress: os.Stderr})
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

// up brings the cluster up and has it deleted at the end, unless KEEP=1.
func up(t *testing.T, s cluster.Settings) *cluster.Cluster {
	t.Helper()
	began := time.Now()
	c, err := cluster.Up(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("up in %s", time.Since(began).Round(time.Second/10))
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
		defer cancel()
		if os.Getenv("KEEP") != "" {
			if err := c.Close(ctx); err != nil {
				t.Error(err)
			}
			return
		}
		if err := c.Delete(ctx); err != nil {
			t.Error(err)
		}
	})
	return c
}

func TestLiveCreate(t *testing.T) {
	s := liveSettings(t, "svclab-live")
	c := up(t, s)
	vantages, err := c.Vantages(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range vantages {
		t.Logf("%+v", v)
	}
}
