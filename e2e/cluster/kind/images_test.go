package kind

import (
	"context"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/svclab/svclab/e2e/cluster/docker"
)

// The image is saved once and imported into the nodes that lack it, under the name that pods use.
func TestLoadImage(t *testing.T) {
	var (
		mu       sync.Mutex
		done     []string
		archives []string
	)
	engine := docker.New("", docker.WithRunner(func(_ context.Context, c docker.Command) error {
		mu.Lock()
		defer mu.Unlock()
		switch line := strings.Join(c.Argv[1:], " "); {
		case c.Argv[1] == "ps":
			_, _ = io.WriteString(c.Stdout, "1 2 3")
		case c.Argv[1] == "container":
			_, _ = io.WriteString(c.Stdout, `[{"Name":"/a"},{"Name":"/b"},{"Name":"/c"}]`)
		case strings.HasSuffix(line, "images list --quiet"):
			if c.Argv[2] == "b" {
				_, _ = io.WriteString(c.Stdout, "docker.io/svclab/x:1\nregistry.test/x:1\n")
			} else {
				_, _ = io.WriteString(c.Stdout, "docker.io/svclab/x:1\n")
			}
		case c.Argv[1] == "save":
			archives = append(archives, c.Argv[3])
			done = append(done, "save "+c.Argv[4])
			return os.WriteFile(c.Argv[3], []byte("layers"), 0o600)
		case strings.Contains(line, "images import"):
			text, err := io.ReadAll(c.Stdin)
			done = append(done, c.Argv[3]+" imports "+string(text))
			return err
		default:
			done = append(done, line)
		}
		return nil
	}))
	p := New(engine, "x", "x", "", io.Discard)
	if err := p.LoadImage(t.Context(), "svclab/x:1", "registry.test/x:1"); err != nil {
		t.Fatal(err)
	}
	slices.Sort(done)
	want := []string{"a imports layers", "c imports layers",
		"exec a ctr --namespace=k8s.io images tag --force docker.io/svclab/x:1 registry.test/x:1",
		"exec c ctr --namespace=k8s.io images tag --force docker.io/svclab/x:1 registry.test/x:1", "save svclab/x:1"}
	if !slices.Equal(done, want) {
		t.Errorf("%q\nwant %q", done, want)
	}
	if _, err := os.Stat(archives[0]); !os.IsNotExist(err) {
		t.Errorf("the archive was left: %v", err)
	}
	done = nil
	if err := p.LoadImage(t.Context(), "svclab/x:1"); err != nil || len(done) > 0 { // every node has it under its own name
		t.Errorf("%q, %v", done, err)
	}
	archive := t.TempDir() + "/image.tar"
	if err := os.WriteFile(archive, []byte("all"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := p.LoadImageArchive(t.Context(), archive); err != nil {
		t.Fatal(err)
	}
	slices.Sort(done)
	if want := []string{"a imports all", "b imports all", "c imports all"}; !slices.Equal(done, want) {
		t.Errorf("%q, want %q", done, want)
	}
}

func TestCanonical(t *testing.T) {
	for name, want := range map[string]string{"a:1": "docker.io/library/a:1", "svclab/a:1": "docker.io/svclab/a:1", "q.io/b/a:1": "q.io/b/a:1",
		"localhost/a": "localhost/a", "h:5000/a": "h:5000/a"} {
		if got := canonical(name); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}
