package cli

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/svclab/svclab/e2e/report"
	"github.com/svclab/svclab/labs/cli/console"
)

func TestFromRunner(t *testing.T) {
	for name, c := range map[string]struct {
		env     map[string]string
		only    []string
		dry     bool
		refused bool
	}{
		"all of it":            {map[string]string{"E2E_FOCUS": everything}, nil, false, false},
		"some":                 {map[string]string{"E2E_FOCUS": `^port\.`, "E2E_SKIP": "named"}, []string{"port.mapping", "port.multi"}, false, false},
		"nothing":              {map[string]string{"E2E_FOCUS": "no such thing"}, nil, false, true},
		"no regular expession": {map[string]string{"E2E_FOCUS": "("}, nil, false, true},
		"flags":                {map[string]string{"E2E_EXTRA_ARGS": "--behaviour=status --profile=core", "E2E_DRYRUN": "true"}, []string{"status"}, true, false},
		"an unknown flag":      {map[string]string{"E2E_EXTRA_ARGS": "--no-such-flag=1"}, nil, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			for _, variable := range []string{"E2E_FOCUS", "E2E_SKIP", "E2E_EXTRA_ARGS", "E2E_DRYRUN"} {
				t.Setenv(variable, c.env[variable])
			}
			f := conformanceFlags{profile: "extended"}
			flags := (&app{}).conformance().LocalFlags()
			flags.Lookup("behaviour").Value = sliceValue{&f.only}
			err := f.fromRunner(flags)
			if (err != nil) != c.refused || !slices.Equal(f.only, c.only) || f.dryRun != c.dry {
				t.Errorf("only %v, dry run %t, %v", f.only, f.dryRun, err)
			}
		})
	}
}

// sliceValue puts a flag's one value into a list of the test's own.
type sliceValue struct{ list *[]string }

func (v sliceValue) Set(text string) error { *v.list = append(*v.list, text); return nil }
func (v sliceValue) String() string        { return "" }
func (v sliceValue) Type() string          { return "strings" }

// Sonobuoy fetches what done names; hydrophone the log and the JUnit report.
func TestFinishLeavesWhatRunnersFetch(t *testing.T) {
	folder := t.TempDir()
	if err := report.WriteAll(folder, report.Run{Tool: "svclab", Conformance: &report.Conformance{Profile: "core"}}); err != nil {
		t.Fatal(err)
	}
	if err := finish(folder); err != nil {
		t.Fatal(err)
	}
	done, err := os.ReadFile(filepath.Join(folder, doneFile))
	if err != nil || string(done) != filepath.Join(folder, archiveFile) {
		t.Fatalf("done says %q, %v", done, err)
	}
	file, err := os.Open(string(done))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	zip, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for in := tar.NewReader(zip); ; {
		header, err := in.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, header.Name)
		if text, err := io.ReadAll(in); err != nil || int64(len(text)) != header.Size || header.Size == 0 {
			t.Errorf("%s: %d bytes, %v", header.Name, len(text), err)
		}
	}
	if !slices.Contains(names, report.JUnitFile) || !slices.Contains(names, report.ConformanceYAMLFile) {
		t.Errorf("the archive has %v", names)
	}
	if _, err := os.Stat(filepath.Join(folder, e2eJUnit)); err != nil {
		t.Error(err)
	}
}

// hydrophone waits for a line of Ginkgo's, whatever became of the run.
func TestUnderRunnerSaysThatItHasEnded(t *testing.T) {
	ended := regexp.MustCompile(`Ginkgo ran (00|[1-9]\d{0,2}) suite`) // as hydrophone looks for it
	for focus, want := range map[string]string{"(": "E2E_FOCUS", `^port\.`: "--in-cluster"} {
		t.Setenv("E2E_FOCUS", focus)
		var out, told bytes.Buffer
		a := &app{console.App{Streams: console.Streams{Out: &out, Err: &told}}}
		cmd := a.conformance()
		cmd.SilenceUsage, cmd.SilenceErrors = true, true
		cmd.SetArgs([]string{"--under-runner", "--output=" + t.TempDir()})
		err := cmd.ExecuteContext(t.Context())
		if err == nil || !strings.Contains(err.Error(), want) || !ended.MatchString(out.String()) {
			t.Errorf("E2E_FOCUS=%s: %v; it says\n%s", focus, err, out.String())
		}
	}
}
