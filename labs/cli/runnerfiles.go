package cli

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/spf13/pflag"

	"github.com/svclab/svclab/e2e/report"
	"github.com/svclab/svclab/e2e/scenario"
)

// The files by which standard runners find the results of a conformance image.
const (
	// hydrophone shows e2eLog while the image runs, and fetches both in the end.
	e2eLog, e2eJUnit = "e2e.log", "junit_01.xml"
	// Sonobuoy waits for doneFile, which has the path of what it is to fetch.
	doneFile, archiveFile = "done", "svclab-conformance.tar.gz"
	// everything is the focus that runners set where their user asks for all of Kubernetes' own conformance suite.
	everything = `\[Conformance\]`
	// goodbye, among the last thirty lines of the log, tells hydrophone that the image has done its work: it knows only
	// images that run Ginkgo, and shows the log again and again until then (v0.8.0, pkg/conformance/client/logs.go).
	goodbye = "Ginkgo ran 1 suite in %s\n"
)

// fromRunner takes what a runner says to a conformance image by its environment: E2E_EXTRA_ARGS are flags, E2E_FOCUS and
// E2E_SKIP regular expressions of behaviours' IDs, E2E_DRYRUN asks for a dry run.
func (f *conformanceFlags) fromRunner(flags *pflag.FlagSet) error {
	for _, arg := range strings.Fields(os.Getenv("E2E_EXTRA_ARGS")) {
		name, value, _ := strings.Cut(strings.TrimLeft(arg, "-"), "=")
		if err := flags.Set(name, value); err != nil {
			return fmt.Errorf("E2E_EXTRA_ARGS: %s: %w", arg, err)
		}
	}
	f.dryRun = f.dryRun || os.Getenv("E2E_DRYRUN") == "true"
	focus, skip := os.Getenv("E2E_FOCUS"), os.Getenv("E2E_SKIP")
	if focus == everything {
		focus = ""
	}
	if focus == "" && skip == "" || len(f.only) > 0 {
		return nil
	}
	wanted, err := regexp.Compile(focus)
	if err != nil {
		return fmt.Errorf("E2E_FOCUS: %w", err)
	}
	unwanted, err := regexp.Compile(skip)
	if err != nil {
		return fmt.Errorf("E2E_SKIP: %w", err)
	}
	for _, b := range scenario.Behaviours() {
		if scenario.Profile(f.profile).Holds(b.Profile) && wanted.MatchString(b.ID) && (skip == "" || !unwanted.MatchString(b.ID)) {
			f.only = append(f.only, b.ID)
		}
	}
	if len(f.only) == 0 {
		return fmt.Errorf("E2E_FOCUS=%s and E2E_SKIP=%s leave no behaviour of profile %s", focus, skip, f.profile)
	}
	return nil
}

// logToo has everything that is said written to e2eLog in folder as well, until end is called.
func (a *app) logToo(folder string) (end func() error, err error) {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return nil, fmt.Errorf("make the output folder: %w", err)
	}
	log, err := os.Create(filepath.Join(folder, e2eLog))
	if err != nil {
		return nil, fmt.Errorf("write the runner's log: %w", err)
	}
	out, told := a.Out, a.Err
	a.Out, a.Err = io.MultiWriter(out, log), io.MultiWriter(told, log)
	return func() error {
		a.Out, a.Err = out, told
		return log.Close()
	}, nil
}

// finish writes what runners fetch: the JUnit report under their name, an archive of all reports, and last of all the
// file that says it is there.
func finish(folder string) error {
	junit, err := os.ReadFile(filepath.Join(folder, report.JUnitFile))
	if err == nil {
		err = os.WriteFile(filepath.Join(folder, e2eJUnit), junit, 0o644)
	}
	if err != nil {
		return fmt.Errorf("write the runner's JUnit report: %w", err)
	}
	archive := filepath.Join(folder, archiveFile)
	if err := pack(archive, folder, report.ConformanceYAMLFile, report.ConformanceJSONFile, report.JUnitFile, report.MarkdownFile, report.HTMLFile, report.TextFile); err != nil {
		return fmt.Errorf("pack the reports: %w", err)
	}
	if err := os.WriteFile(filepath.Join(folder, doneFile), []byte(archive), 0o644); err != nil {
		return fmt.Errorf("tell the runner that the reports are there: %w", err)
	}
	return nil
}

// pack writes the named files of folder into an archive.
func pack(path, folder string, names ...string) (err error) {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	zip := gzip.NewWriter(file)
	out := tar.NewWriter(zip)
	for _, name := range names {
		text, err := os.ReadFile(filepath.Join(folder, name))
		if err == nil {
			err = out.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(text))})
		}
		if err == nil {
			_, err = out.Write(text)
		}
		if err != nil {
			return errors.Join(err, file.Close())
		}
	}
	return errors.Join(out.Close(), zip.Close(), file.Close())
}
