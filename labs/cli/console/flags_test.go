package console

import (
	"bytes"
	"context"
	"path/filepath"
	"strconv"
	"testing"
	"testing/fstest"

	"github.com/spf13/cobra"
)

// Each flag sets the setting that its environment variable sets, and wins over it.
func TestClusterFlags(t *testing.T) {
	t.Setenv("SVCLAB_ROOT", "../../..")
	values := map[string][2]string{"name": {"one", "other"}, "mode": {"nftables", "iptables"}, "family": {"ipv4", "dual"}, "kubernetes": {"1.36", "1.37"}, "proxy": {"v1.33.0", "v1.34.4"}, "coredns": {"v1.12.0", "v1.13.1"},
		"images": {"pull", "build"}, "workers": {"4", "6"}, "host-port": {"30001", "30002"}, "output": {"/one", "/other"}}
	for _, f := range clusterFlags() {
		one, other := values[f.name][0], values[f.name][1]
		t.Setenv(variable(f.name), one)
		run := func(args ...string) (got, given string) {
			a := &App{Streams: Streams{Out: new(bytes.Buffer), Err: new(bytes.Buffer)}, Manifests: fstest.MapFS{}}
			cmd := &cobra.Command{Use: "verb", RunE: func(*cobra.Command, []string) error { return nil }}
			a.ClusterFlags(cmd, f.name)
			if code := a.Run(context.Background(), cmd, args); code != 0 {
				t.Fatalf("--%s %v: exit code %d, %s", f.name, args, code, a.Err)
			}
			given = GivenClusterFlags(cmd)
			if f.text != nil {
				return *f.text(&a.Config), given
			}
			return strconv.Itoa(*f.number(&a.Config)), given
		}
		if got, given := run(); got != one || given != "" {
			t.Errorf("%s=%s gives %q; flags given: %q", variable(f.name), one, got, given)
		}
		if got, given := run("--"+f.name, other); got != other || given != " --"+f.name+"="+other {
			t.Errorf("%s=%s --%s=%s gives %q; flags given: %q", variable(f.name), one, f.name, other, got, given)
		}
	}
}

// The suite runs in another folder than svclab, and means the same one.
func TestOutputIsAbsolute(t *testing.T) {
	t.Setenv("SVCLAB_ROOT", "../../..")
	a := &App{Streams: Streams{Out: new(bytes.Buffer), Err: new(bytes.Buffer)}, Manifests: fstest.MapFS{}}
	cmd := &cobra.Command{Use: "verb", RunE: func(*cobra.Command, []string) error { return nil }}
	a.ClusterFlags(cmd, "output")
	want, err := filepath.Abs("reports")
	if err != nil {
		t.Fatal(err)
	}
	if code := a.Run(t.Context(), cmd, []string{"--output", "reports"}); code != 0 || a.Config.Output != want {
		t.Errorf("exit code %d, %s, want %s", code, a.Config.Output, want)
	}
}
