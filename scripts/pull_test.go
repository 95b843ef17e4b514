//go:build e2e

package scripts_test

import (
	"archive/tar"
	"bytes"
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/registry"
)

// TestPull pulls every image of versions.env from a registry on loopback, which is filled with images of the same names,
// with the engine that is in use.
func TestPull(t *testing.T) {
	env, err := exec.Command("./engine.sh", "env").Output()
	if err != nil {
		t.Skipf("no engine is in use: %v", err)
	}
	host := strings.TrimSpace(string(env))
	docker := func(stdin []byte, args ...string) string {
		t.Helper()
		cmd := exec.Command("docker", args...)
		cmd.Env = append(os.Environ(), host)
		cmd.Stdin = bytes.NewReader(stdin)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("docker %s: %v\n%s", strings.Join(args, " "), err, out)
		}
		return strings.TrimSpace(string(out))
	}
	server := httptest.NewServer(registry.New())
	defer server.Close()
	mirror := strings.TrimPrefix(server.URL, "http://")

	pins, err := os.ReadFile("versions.env")
	if err != nil {
		t.Fatal(err)
	}
	var made []string
	defer func() {
		if len(made) > 0 {
			docker(nil, append([]string{"rmi", "--force"}, made...)...)
		}
	}()
	ids := map[string]string{}
	for line := range strings.Lines(string(pins)) {
		key, value, ok := strings.Cut(strings.TrimSpace(line), "=")
		if !ok || !strings.HasPrefix(key, "PULL_") {
			continue
		}
		name, _, pinned := strings.Cut(value, "@sha256:")
		if !pinned {
			t.Errorf("%s is not pinned by digest", key)
		}
		_, path, _ := strings.Cut(name, "/")
		reference := mirror + "/" + path
		ids[path] = docker(layer(t, key), "import", "-", reference)
		made = append(made, reference)
		docker(nil, "push", "--quiet", reference)
		docker(nil, "rmi", reference) // so that it can only come from the registry
	}

	settings := []string{host, "IMAGES=pull", "KUBERNETES=1.37", "IMAGE_MIRROR=" + mirror}
	if got := run(t, nil, settings, "images.sh"); got.code != 2 || !strings.Contains(got.stderr, "could not be pulled") {
		t.Errorf("an image with another digest than the pinned one: exit code %d\n%s", got.code, got.stderr)
	}
	got := run(t, nil, append(settings, "IMAGE_MIRROR_BY=tag"), "images.sh")
	if got.code != 0 {
		t.Fatalf("exit code %d\n%s", got.code, got.stderr)
	}
	values := map[string]string{}
	for line := range strings.Lines(got.stdout) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		values[key] = value
	}
	if values["IMAGES"] != "pull" || values["KUBERNETES_VERSION"] != "v1.37.0" || values["NODE_IMAGE"] != "svclab/mirrored-pulled-node:v1.37.0" {
		t.Errorf("got %v", values)
	}
	pulled := map[string]string{values["NODE_IMAGE"]: "kindest/node:v1.37.0", values["COREDNS_IMAGE"]: "coredns/coredns:v1.14.6"}
	for _, pair := range strings.Fields(values["LOAD_IMAGES"]) {
		local, name, _ := strings.Cut(pair, "=")
		_, path, _ := strings.Cut(name, "/")
		pulled[local] = path
	}
	if len(pulled) != 5 {
		t.Errorf("%d images, want the node, CoreDNS, agnhost and MetalLB's two: %v", len(pulled), pulled)
	}
	for local, path := range pulled {
		made = append(made, local)
		if id := docker(nil, "image", "inspect", "--format", "{{.Id}}", local); id != ids[path] {
			t.Errorf("%s is %s, want what the registry has as %s: %s", local, id, path, ids[path])
		}
	}
}

// layer is a file system with one file, so that no two images are the same.
func layer(t *testing.T, content string) []byte {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	if err := w.WriteHeader(&tar.Header{Name: "name", Mode: 0o644, Size: int64(len(content))}); err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Fprint(w, content); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}
