package docker_test

import (
	"archive/tar"
	"context"
	"errors"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/svclab/svclab/e2e/cluster/docker"
)

func TestParseContainers(t *testing.T) {
	text, err := os.ReadFile("testdata/containers.json")
	if err != nil {
		t.Fatal(err)
	}
	containers, err := docker.ParseContainers(text)
	if err != nil || len(containers) != 2 {
		t.Fatalf("%d containers, %v", len(containers), err)
	}
	running, stopped := containers[0], containers[1]
	if running.Name != "svclab-worker" || running.State != "running" || running.Labels["io.x-k8s.kind.cluster"] != "svclab" {
		t.Errorf("%+v", running)
	}
	want := []netip.Addr{netip.MustParseAddr("172.19.0.3"), netip.MustParseAddr("fd12:3456:789a::3")}
	if got := running.Networks["svclab"].Addrs; !slices.Equal(got, want) {
		t.Errorf("addresses %v", got)
	}
	if at, attached := stopped.Networks["svclab"]; !attached || len(at.Addrs) != 0 || stopped.State != "exited" {
		t.Errorf("a stopped container stays attached, without an address: %+v", stopped)
	}
}

func TestCopyTo(t *testing.T) {
	var files []string
	engine := docker.New("", docker.WithRunner(func(_ context.Context, c docker.Command) error {
		if want := []string{"docker", "cp", "-", "box:/"}; !slices.Equal(c.Argv, want) {
			t.Errorf("argv %q", c.Argv)
		}
		archive := tar.NewReader(c.Stdin)
		for {
			header, err := archive.Next()
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err != nil {
				return err
			}
			data, err := io.ReadAll(archive)
			if err != nil {
				return err
			}
			files = append(files, header.Name+" "+fs.FileMode(header.Mode).String()+" "+string(data))
		}
	}))
	err := engine.CopyTo(t.Context(), "box", docker.File{Path: "/a/b", Mode: 0o755, Data: []byte("run")}, docker.File{Path: "/c", Mode: 0o600, Data: []byte("text")})
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"a/b -rwxr-xr-x run", "c -rw------- text"}; !slices.Equal(files, want) {
		t.Errorf("%q", files)
	}
}

func TestCopyFromMissing(t *testing.T) {
	engine := docker.New("", docker.WithRunner(func(_ context.Context, c docker.Command) error {
		_, _ = io.WriteString(c.Stderr, "Error: No such container:path: box:/kind/svclab/cluster.json")
		return errors.New("exit status 1")
	}))
	if _, err := engine.CopyFrom(t.Context(), "box", "/kind/svclab/cluster.json"); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

func TestContainersAsksUntilTheAnswersAgree(t *testing.T) {
	var asked []string
	engine := docker.New("", docker.WithRunner(func(_ context.Context, c docker.Command) error {
		asked = append(asked, strings.Join(c.Argv[1:], " "))
		switch {
		case c.Argv[1] == "ps" && len(asked) == 1:
			_, _ = io.WriteString(c.Stdout, "1\n2\n")
		case c.Argv[1] == "ps":
			_, _ = io.WriteString(c.Stdout, "1\n")
		case len(asked) == 2: // the second is being removed
			_, _ = io.WriteString(c.Stdout, `[{"Id":"1","Name":"/one"}]`)
			_, _ = io.WriteString(c.Stderr, "Error: No such container: 2")
			return errors.New("exit status 1")
		default:
			_, _ = io.WriteString(c.Stdout, `[{"Id":"1","Name":"/one"}]`)
		}
		return nil
	}))
	containers, err := engine.Containers(t.Context(), "label=a=b")
	if err != nil || len(containers) != 1 || containers[0].Name != "one" {
		t.Errorf("%v, %v", containers, err)
	}
	const list = "ps --all --quiet --no-trunc --filter label=a=b"
	if want := []string{list, "container inspect 1 2", list, "container inspect 1"}; !slices.Equal(asked, want) {
		t.Errorf("%q", asked)
	}
}

func TestContainersGivesUp(t *testing.T) {
	engine := docker.New("", docker.WithRunner(func(_ context.Context, c docker.Command) error {
		if c.Argv[1] == "ps" {
			_, _ = io.WriteString(c.Stdout, "1\n")
			return nil
		}
		_, _ = io.WriteString(c.Stderr, "Error: No such container: 1")
		return errors.New("exit status 1")
	}))
	if containers, err := engine.Containers(t.Context()); err == nil {
		t.Errorf("%v", containers)
	}
}

// Remove waits for containers that another client is removing or that appear late. Any other failure is returned at once.
func TestRemove(t *testing.T) {
	lists := []string{"a b", "b", "c", "c", ""} // what there is, at each list
	says := []string{"Error: removal of container b is already in progress", "Error: No such container: b",
		"Error response from daemon: Could not kill running container c, cannot remove - tried to kill container, but did not receive an exit event", ""}
	var removed []string
	engine := docker.New("", docker.WithRunner(func(_ context.Context, c docker.Command) error {
		now := lists[len(removed)]
		switch c.Argv[1] {
		case "ps":
			_, _ = io.WriteString(c.Stdout, now)
		case "container":
			_, _ = io.WriteString(c.Stdout, `[{"Name":"/`+strings.ReplaceAll(now, " ", `"},{"Name":"/`)+`"}]`)
		case "rm":
			removed = append(removed, strings.Join(c.Argv[4:], " "))
			if text := says[len(removed)-1]; text != "" {
				_, _ = io.WriteString(c.Stderr, text)
				return errors.New("exit status 1")
			}
		}
		return nil
	}))
	if err := engine.Remove(t.Context(), "label=x"); err != nil || !slices.Equal(removed, []string{"a b", "b", "c", "c"}) {
		t.Errorf("%q, %v", removed, err)
	}
	removed, says = nil, []string{"permission denied"}
	if err := engine.Remove(t.Context(), "label=x"); err == nil || !strings.Contains(err.Error(), "permission denied") || len(removed) != 1 {
		t.Errorf("%q, %v", removed, err)
	}
}
