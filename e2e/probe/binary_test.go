package probe

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
)

func TestBinaryFromEnv(t *testing.T) {
	built := os.Getenv(BinaryEnv)
	path, err := fromEnv(built, runtime.GOOS, runtime.GOARCH)
	if err != nil || path != built {
		t.Errorf("got %q, %v", path, err)
	}
	if _, err := fromEnv(built, "plan9", "mips"); !errors.Is(err, errNotHere) {
		t.Errorf("for another platform: %v", err)
	}
	if _, err := fromEnv("", runtime.GOOS, runtime.GOARCH); !errors.Is(err, errNotHere) {
		t.Errorf("unset: %v", err)
	}
	for name, path := range map[string]string{
		"missing": filepath.Join(t.TempDir(), "prober"), "a text": "binary_test.go", "another program": os.Args[0],
	} {
		if _, err := fromEnv(path, runtime.GOOS, runtime.GOARCH); err == nil || errors.Is(err, errNotHere) || !strings.Contains(err.Error(), BinaryEnv) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Several at once build one prober, whole; the next call finds it.
func TestBinaryFromSource(t *testing.T) {
	goCache, err := goCommand(t.Context(), ".", nil, "env", "GOCACHE")
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("GOCACHE", goCache) // stays where it is when the cache folder moves
	cache := t.TempDir()
	t.Setenv("XDG_CACHE_HOME", cache)
	if dir, err := os.UserCacheDir(); err != nil || dir != cache {
		t.Skip("this system's cache folder cannot be moved")
	}
	t.Setenv(BinaryEnv, "")
	var (
		paths    [3]string
		building sync.WaitGroup
	)
	for i := range paths {
		building.Go(func() {
			path, err := Binary(t.Context(), runtime.GOOS, runtime.GOARCH)
			if err != nil {
				t.Error(err)
			}
			paths[i] = path
		})
	}
	building.Wait()
	if t.Failed() {
		return
	}
	if paths[0] != paths[1] || paths[1] != paths[2] || !strings.HasPrefix(paths[0], cache) {
		t.Errorf("built at %v", paths)
	}
	output, err := exec.CommandContext(t.Context(), paths[0], "version").Output()
	if err != nil || !strings.Contains(string(output), "svclab prober, protocol 6") {
		t.Errorf("it says %q, %v", output, err)
	}
	before, err := os.Stat(paths[0])
	if err != nil {
		t.Fatal(err)
	}
	if before.Size() > 10<<20 {
		t.Errorf("the prober has %d MB, which is too much to carry into every vantage", before.Size()>>20)
	}
	if _, err := Binary(t.Context(), runtime.GOOS, runtime.GOARCH); err != nil {
		t.Error(err)
	}
	if after, err := os.Stat(paths[0]); err != nil || !os.SameFile(before, after) {
		t.Errorf("built again though nothing changed: %v", err)
	}
	left, err := os.ReadDir(filepath.Dir(paths[0]))
	if err != nil || len(left) != 1 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestBinaryNowhere(t *testing.T) {
	t.Setenv(BinaryEnv, "")
	t.Chdir(t.TempDir())
	_, err := Binary(t.Context(), "linux", "amd64")
	if err == nil || !strings.Contains(err.Error(), "set "+BinaryEnv) {
		t.Errorf("got %v", err)
	}
}

func TestFingerprintFollowsTheSources(t *testing.T) {
	tree := func() fstest.MapFS {
		files := fstest.MapFS{"go.mod": {Data: []byte("module a")}}
		for _, folder := range sources() {
			files[folder+"/a.go"] = &fstest.MapFile{Data: []byte("package a")}
			files[folder+"/a_test.go"] = &fstest.MapFile{Data: []byte("package a")}
		}
		return files
	}
	print := func(files fstest.MapFS, version string) string {
		sum, err := fingerprint(files, version)
		if err != nil {
			t.Fatal(err)
		}
		return sum
	}
	base := print(tree(), "go1.26.0")
	if print(tree(), "go1.26.0") != base {
		t.Error("the same sources, another fingerprint")
	}
	if print(tree(), "go1.26.1") == base {
		t.Error("another Go, the same fingerprint")
	}
	edited, added, tested, required := tree(), tree(), tree(), tree()
	edited["e2e/reach/a.go"] = &fstest.MapFile{Data: []byte("package b")}
	added[proberPackage+"/b.go"] = &fstest.MapFile{Data: []byte("package a")}
	tested[proberPackage+"/a_test.go"] = &fstest.MapFile{Data: []byte("package b")}
	required["go.mod"] = &fstest.MapFile{Data: []byte("module a\nrequire b v1.0.0")}
	if print(required, "go1.26.0") == base {
		t.Error("another module required, the same fingerprint")
	}
	if print(edited, "go1.26.0") == base || print(added, "go1.26.0") == base {
		t.Error("other sources, the same fingerprint")
	}
	if print(tested, "go1.26.0") != base {
		t.Error("a test is no part of the program")
	}
	if _, err := fingerprint(fstest.MapFS{}, "go1.26.0"); err == nil {
		t.Error("no sources, and no error")
	}
}

// The fingerprint covers all packages of this module that the prober is built from. Of other modules the prober uses
// these only, so that it stays small.
func TestSourcesAreAllOfTheProber(t *testing.T) {
	text, err := goCommand(t.Context(), ".", nil, "list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", "./prober")
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"golang.org/x/net/dns/dnsmessage", "golang.org/x/sys/unix",
		// netlink, of prober trace on Linux
		"github.com/google/nftables/alignedbuff", "github.com/google/nftables/binaryutil", "github.com/google/nftables/expr",
		"github.com/google/nftables/internal/parseexprfunc", "github.com/google/nftables/xt", "github.com/mdlayher/netlink",
		"github.com/mdlayher/netlink/nlenc", "github.com/mdlayher/socket", "golang.org/x/net/bpf", "golang.org/x/sync/errgroup"}
	for _, folder := range sources() {
		want = append(want, modulePath+"/"+folder)
	}
	got := strings.Fields(text)
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("the prober is built from\n%v\nthe fingerprint covers\n%v", got, want)
	}
}

// A suite runs in its output folder, which may be outside of the checkout.
func TestBinaryFromTheNamedCheckout(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	ended, cancel := context.WithCancel(t.Context())
	cancel() // it is to be found, not built
	t.Setenv("SVCLAB_ROOT", "")
	if _, err := fromSource(ended, "linux", "amd64"); !errors.Is(err, errNotHere) {
		t.Errorf("without a checkout: %v", err)
	}
	t.Setenv("SVCLAB_ROOT", root)
	if _, err := fromSource(ended, "linux", "amd64"); errors.Is(err, errNotHere) {
		t.Errorf("the named checkout is not looked at: %v", err)
	}
}

func TestCheckout(t *testing.T) {
	for text, want := range map[string]bool{
		"module github.com/svclab/svclab\n\ngo 1.26\n":       true,
		"// ours\nmodule \"github.com/svclab/svclab\"\n":     true,
		"module github.com/svclab/svclab/scripts/etcd\n":     false,
		"module example.com/user\nrequire github.com/x v1\n": false,
		"": false,
	} {
		if got := declares(text, modulePath); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
	root, err := checkout(mustGetwd())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(root, proberPackage, "main.go")); err != nil {
		t.Error(err)
	}
	if _, err := checkout(t.TempDir()); !errors.Is(err, errNotHere) {
		t.Errorf("outside any checkout: %v", err)
	}
}
