package scenario

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

const (
	appDir       = "app"
	scenarioFile = "scenario.yaml"
	expectFile   = "expect.yaml"
)

// Folder is where the scenarios are, a folder for each. MutantsFile is the file of a scenario's folder that package mutants
// loads.
const (
	Folder      = "scenarios"
	MutantsFile = "mutants.yaml"
)

// namePattern keeps the namespace svclab-NAME-SUFFIX within 63 characters.
var namePattern = regexp.MustCompile(`^[a-z][a-z0-9]*(-[a-z0-9]+)*$`)

const maxName = 40

// ValidateName returns an error if a scenario may not have this name.
func ValidateName(name string) error {
	if !namePattern.MatchString(name) || len(name) > maxName {
		return fmt.Errorf("%s/%s: a scenario's name is lower-case words joined by hyphens, at most %d characters", Folder, name, maxName)
	}
	return nil
}

type loader struct {
	fsys  fs.FS
	kinds []Kind
	// folder holds a folder for each scenario, with scenarioFile in it, and perhaps others' files.
	folder string
	others []string
}

// Names lists the scenarios in fsys, sorted. fsys is rooted at manifests.
func Names(fsys fs.FS) ([]string, error) { return Folders(fsys, Folder, "scenario") }

// LoadAll loads every scenario, in the order of their names, and reports all that is wrong with any. kinds are the kinds of
// steps there are.
func LoadAll(fsys fs.FS, kinds []Kind) ([]Scenario, error) {
	names, err := Names(fsys)
	if err != nil {
		return nil, err
	}
	return load(fsys, names, kinds)
}

// Load loads the named scenarios, in that order.
func Load(fsys fs.FS, names []string, kinds []Kind) ([]Scenario, error) {
	known, err := Names(fsys)
	if err != nil {
		return nil, err
	}
	for i, name := range names {
		if !slices.Contains(known, name) {
			return nil, fmt.Errorf("no scenario is called %q in this build of svclab: there are %s", name, strings.Join(known, ", "))
		}
		if slices.Contains(names[:i], name) {
			return nil, fmt.Errorf("scenario %q is named twice", name)
		}
	}
	return load(fsys, names, kinds)
}

func load(fsys fs.FS, names []string, kinds []Kind) ([]Scenario, error) {
	return LoadFrom(fsys, Folder, names, kinds, MutantsFile)
}

// LoadFrom loads the named scenarios from another folder than Folder. The files others, which each of them may have, are read by the
// caller.
func LoadFrom(fsys fs.FS, folder string, names []string, kinds []Kind, others ...string) ([]Scenario, error) {
	l := loader{fsys: fsys, kinds: kinds, folder: folder, others: others}
	var (
		scenarios []Scenario
		errs      []error
		titles    = map[string]string{}
	)
	for _, name := range names {
		s, err := l.scenario(name)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if other, taken := titles[s.Title]; taken {
			errs = append(errs, fmt.Errorf("scenarios %s and %s have the same title %q", other, name, s.Title))
		}
		titles[s.Title] = name
		scenarios = append(scenarios, s)
	}
	return scenarios, errors.Join(errs...)
}

// scenario loads one folder. Its errors name the file they are about.
func (l loader) scenario(name string) (Scenario, error) {
	dir := path.Join(l.folder, name)
	s := Scenario{Name: name, Objects: map[string][]*unstructured.Unstructured{}}
	if err := ValidateName(name); err != nil {
		return s, err
	}
	entries, err := fs.ReadDir(l.fsys, dir)
	if err != nil {
		return s, fmt.Errorf("%s: %w", dir, err)
	}
	if len(entries) == 0 {
		return s, fmt.Errorf("%s: the folder is empty: it needs at least %s", dir, scenarioFile)
	}
	file := struct { // the raw steps stand in the place of the decoded ones, which need the kinds
		*Scenario
		Steps []json.RawMessage `json:"steps"`
	}{Scenario: &s}
	if err := l.decode(path.Join(dir, scenarioFile), &file); err != nil {
		return s, err
	}
	if s.Steps, err = DecodeSteps(file.Steps, l.kinds); err != nil {
		return s, Prefixed(path.Join(dir, scenarioFile)+": ", err)
	}
	var expect struct {
		Tables map[string]Table `json:"tables"`
	}
	if slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return e.Name() == expectFile }) {
		if err := l.decode(path.Join(dir, expectFile), &expect); err != nil {
			return s, err
		}
	}
	s.Tables = expect.Tables

	var errs []error
	used := map[string]bool{scenarioFile: true, expectFile: true}
	for _, other := range l.others {
		used[other] = true
	}
	for _, file := range s.files() {
		used[file] = true
		objects, err := l.manifest(dir, file)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		s.Objects[file] = objects
	}
	for _, e := range entries {
		if !used[e.Name()] {
			errs = append(errs, fmt.Errorf("%s: a stray file: no step applies it", path.Join(dir, e.Name())))
		}
	}
	if err := s.validate(); err != nil {
		errs = append(errs, Prefixed(dir+": ", err))
	}
	return s, errors.Join(errs...)
}

// decode reads one YAML file into out, strictly.
func (l loader) decode(file string, out any) error {
	if err := DecodeFile(l.fsys, file, nil, out); err != nil {
		return fmt.Errorf("read %s: %w", file, err)
	}
	return nil
}

// manifest reads the file a step names: one of the scenario's own folder, or app/FILE.
func (l loader) manifest(dir, file string) ([]*unstructured.Unstructured, error) {
	full := path.Join(dir, file)
	if strings.HasPrefix(file, appDir+"/") {
		full = file
	}
	if strings.Contains(strings.TrimPrefix(file, appDir+"/"), "/") || path.Ext(file) != ".yaml" ||
		slices.Contains(append([]string{scenarioFile, expectFile}, l.others...), file) {
		return nil, fmt.Errorf("%s: %q is no manifest: want NAME.yaml of this folder or %s/NAME.yaml", dir, file, appDir)
	}
	data, err := fs.ReadFile(l.fsys, full)
	if err != nil {
		return nil, fmt.Errorf("%s: read %s: %w", dir, file, err)
	}
	objects, err := DecodeManifest(data)
	if err != nil {
		return nil, Prefixed(full+": ", err)
	}
	return objects, nil
}

// Lint checks all that can be checked without a cluster: every scenario loads, and every shared manifest
// is used by one, or by one of more, which are of another folder.
func Lint(fsys fs.FS, kinds []Kind, more ...Scenario) error {
	scenarios, err := LoadAll(fsys, kinds)
	scenarios = append(scenarios, more...)
	errs := []error{err}
	entries, dirErr := fs.ReadDir(fsys, appDir)
	if dirErr != nil {
		return errors.Join(err, fmt.Errorf("list %s: %w", appDir, dirErr))
	}
	if err != nil {
		return err // what a broken scenario uses is not known
	}
	for _, e := range entries {
		file := path.Join(appDir, e.Name())
		if !slices.ContainsFunc(scenarios, func(s Scenario) bool { return slices.Contains(s.files(), file) }) {
			errs = append(errs, fmt.Errorf("%s: a stray file: no scenario applies it", file))
		}
	}
	return errors.Join(errs...)
}
