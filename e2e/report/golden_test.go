package report

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "overwrite the golden files in testdata")

// golden compares what render writes with testdata/name, or writes that file with -update.
func golden(t *testing.T, name string, render func(io.Writer) error) string {
	t.Helper()
	var got bytes.Buffer
	if err := render(&got); err != nil {
		t.Fatalf("render %s: %v", name, err)
	}
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		return got.String()
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v; make it with: go test ./e2e/report -update", err)
	}
	if !bytes.Equal(got.Bytes(), want) {
		t.Errorf("%s is not as in testdata; look at it with: go test ./e2e/report -update && git diff e2e/report/testdata\ngot:\n%s", name, firstDifference(got.String(), string(want)))
	}
	return got.String()
}

// firstDifference shows the first line in which got and want differ.
func firstDifference(got, want string) string {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range max(len(g), len(w)) {
		var a, b string
		if i < len(g) {
			a = g[i]
		}
		if i < len(w) {
			b = w[i]
		}
		if a != b {
			return fmt.Sprintf("line %d\n got: %s\nwant: %s", i+1, a, b)
		}
	}
	return "no line differs"
}
