package course

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/svclab/svclab/e2e/scenario"
)

const (
	exerciseFile = "exercise.yaml"
	expectFile   = "expect.yaml"
	solutionFile = "solution.yaml"
	wrongFile    = "wrong.yaml"
	setupDir     = "setup"
	solutionsDir = "solutions"
	wrongDir     = "wrong"
)

// shared reports whether a manifest is one that several exercises set up, app/NAME.yaml or incident/NAME.yaml of the folder manifests.
func shared(name string) bool {
	folder := path.Dir(name)
	return folder == "app" || folder == "incident"
}

var (
	folderPattern = regexp.MustCompile(`^([0-9]{2})-[a-z0-9]+(-[a-z0-9]+)*$`)
	numberPattern = regexp.MustCompile(`^[0-9]{2}$`)
)

// textFile is the name of the file that holds a language's text.
func textFile(l Language) string { return "text." + string(l) + ".md" }

// Source is the place that exercises are loaded from.
type Source struct {
	// Exercises is rooted at labs/exercises, Manifests at manifests.
	Exercises, Manifests fs.FS
	// Kinds are the kinds of steps.
	Kinds []scenario.Kind
}

// Names lists the exercises' folders in order.
func (s Source) Names() ([]string, error) {
	return scenario.Folders(folders{s.Exercises}, ".", "exercise")
}

// IDOf returns the ID in the name of an exercise's folder, "04" of "04-wrong-target-port".
func IDOf(name string) string {
	id, _, _ := strings.Cut(name, "-")
	return id
}

// Find returns the exercise's folder that a person names as "4", "04" or "04-wrong-target-port".
func (s Source) Find(wanted string) (string, error) {
	names, err := s.Names()
	if err != nil {
		return "", err
	}
	number := wanted
	if len(number) == 1 {
		number = "0" + number
	}
	for _, name := range names {
		if name == wanted || numberPattern.MatchString(number) && strings.HasPrefix(name, number+"-") {
			return name, nil
		}
	}
	return "", fmt.Errorf("there is no exercise %q; svclab learn list shows all", wanted)
}

// ValidateName returns an error if name is no name for an exercise's folder.
func ValidateName(name string) error {
	if !folderPattern.MatchString(name) {
		return fmt.Errorf("%q: the folder of an exercise is called NN-name: two digits, and lower-case words joined by hyphens", name)
	}
	return nil
}

// LoadAll loads the named exercises with sample values, or all exercises if no name is given. It returns the errors of all of
// them, joined.
func (s Source) LoadAll(only ...string) ([]Exercise, error) {
	names, err := s.Names()
	var (
		exercises []Exercise
		errs      = []error{err}
		known     = map[string]bool{}
	)
	for _, name := range names {
		id := IDOf(name)
		if len(only) == 0 || slices.Contains(only, name) {
			e, err := s.Load(name, Sample())
			errs = append(errs, err)
			for _, p := range e.Prerequisites {
				if !known[p] {
					errs = append(errs, fmt.Errorf("%s: prerequisite %q is no exercise before it", name, p))
				}
			}
			if known[id] {
				errs = append(errs, fmt.Errorf("%s: another exercise has the number %s", name, id))
			}
			exercises = append(exercises, e)
		}
		known[id] = true
	}
	return exercises, errors.Join(errs...)
}

// Load loads one exercise by its folder's name and replaces the placeholders. It returns every error that it finds: a file that
// cannot be read hides only the errors that follow from its content.
func (s Source) Load(name string, values Values) (Exercise, error) {
	l := &loader{Source: s, dir: name, values: values, used: map[string]bool{}}
	e := l.exercise()
	if err := errors.Join(l.errs...); err != nil {
		return e, scenario.Prefixed(name+"/", err)
	}
	return e, nil
}

// loader loads one folder and collects the errors in it.
type loader struct {
	Source
	dir    string
	values Values
	used   map[string]bool
	errs   []error
}

func (l *loader) fail(file, format string, args ...any) {
	l.errs = append(l.errs, fmt.Errorf("%s: %w", file, fmt.Errorf(format, args...)))
}

func (l *loader) exercise() Exercise {
	var (
		file struct {
			Exercise
			Setup []json.RawMessage `json:"setup"`
			Goal  []json.RawMessage `json:"goal"`
		}
		tables struct {
			Tables map[string]scenario.Table `json:"tables"`
		}
	)
	if err := ValidateName(l.dir); err != nil {
		l.errs = append(l.errs, err)
		return Exercise{}
	}
	known := l.decode(exerciseFile, &file)
	e := file.Exercise
	e.ID, e.Name, e.Texts, e.values = IDOf(l.dir), l.dir, map[Language]Text{}, l.values
	if l.exists(expectFile) {
		l.decode(expectFile, &tables)
	}
	e.Setup, e.Files = l.part(e, exerciseFile, setupDir, "setup", file.Setup, nil)
	e.Goal, _ = l.part(e, exerciseFile, setupDir, "goal", file.Goal, tables.Tables)
	e.Solutions = l.ways(e, solutionsDir, solutionFile)
	e.Wrong = l.ways(e, wrongDir, wrongFile)
	l.texts(e)
	if known { // otherwise all further errors would follow from those of exercise.yaml
		l.unused()
		l.validate(e)
	}
	slices.SortStableFunc(l.errs, func(a, b error) int { return cmp.Compare(a.Error(), b.Error()) })
	return e
}

// texts loads the texts into e. English is required.
func (l *loader) texts(e Exercise) {
	for _, language := range Languages() {
		file := textFile(language)
		if language != English && !l.exists(file) {
			continue // a draft
		}
		data, ok := l.read(file)
		if !ok {
			continue
		}
		text, err := parseText(data)
		if err != nil {
			l.fail(file, "%w", err)
		}
		e.Texts[language] = text
	}
}

func (l *loader) exists(file string) bool {
	_, err := fs.Stat(l.Exercises, path.Join(l.dir, file))
	return err == nil
}

func (l *loader) read(file string) (string, bool) {
	l.used[file] = true
	data, err := fs.ReadFile(l.Exercises, path.Join(l.dir, file))
	if err != nil {
		l.fail(file, "%w", err)
	}
	return string(data), err == nil
}

func (l *loader) decode(file string, out any) bool {
	l.used[file] = true
	err := scenario.DecodeFile(l.Exercises, path.Join(l.dir, file), l.values.Fill, out)
	if err != nil {
		l.fail(file, "%w", err)
	}
	return err == nil
}

// part makes steps runnable: it loads the manifests that they apply, from folder or from the shared ones, and validates them.
func (l *loader) part(e Exercise, file, folder, name string, raw []json.RawMessage, tables map[string]scenario.Table) (Part, map[string]string) {
	for name, table := range tables {
		if len(table.From) == 0 && table.Clients == "" {
			table.From = e.Vantages
			tables[name] = table
		}
	}
	steps, broken := scenario.DecodeSteps(raw, l.Kinds)
	p := Part{Name: e.Name, Title: name, Needs: e.Needs, Claims: e.Claims, Shares: e.Shares, Serial: e.Serial, Steps: steps,
		Objects: map[string][]*unstructured.Unstructured{}, Tables: tables}
	files := map[string]string{}
	for _, step := range steps {
		for _, manifest := range step.Files() {
			data, ok := l.manifest(file, folder, manifest)
			if !ok {
				continue
			}
			objects, err := scenario.DecodeManifest([]byte(data), e.foreign(l.values)...)
			if err != nil {
				l.fail(path.Join(folder, manifest), "%w", err)
			}
			p.Objects[manifest], files[path.Base(manifest)] = objects, data
		}
	}
	if broken == nil {
		broken = p.ValidatePart()
	}
	if broken != nil {
		l.fail(file, "%s: %w", name, broken)
	}
	return p, files
}

// foreign returns the namespaces, other than the exercise's first, in which manifests may have objects.
func (e Exercise) foreign(values Values) []string {
	names := e.Spaces(values.Namespace)[1:]
	for _, ref := range e.Cluster {
		if ref.Namespace != "" {
			names = append(names, ref.Namespace)
		}
	}
	return names
}

func (l *loader) manifest(by, folder, name string) (string, bool) {
	if path.Ext(name) != ".yaml" || strings.Contains(name, "/") && !shared(name) {
		l.fail(by, "%q is no manifest: want NAME.yaml in %s/, app/NAME.yaml or incident/NAME.yaml", name, folder)
		return "", false
	}
	if !shared(name) {
		data, ok := l.read(path.Join(folder, name))
		return l.values.Fill(data), ok
	}
	data, err := fs.ReadFile(l.Manifests, name)
	if err != nil {
		l.fail(by, "%w", err)
	}
	return string(data), err == nil
}

// ways loads the solutions or the wrong answers.
func (l *loader) ways(e Exercise, folder, file string) []Answer {
	entries, err := fs.ReadDir(l.Exercises, path.Join(l.dir, folder))
	if err != nil {
		l.fail(folder, "%w", err)
		return nil
	}
	var answers []Answer
	for i, entry := range entries {
		in := path.Join(folder, entry.Name())
		number, rest, _ := strings.Cut(entry.Name(), "-")
		if !entry.IsDir() || number != fmt.Sprintf("%02d", i+1) || folder == wrongDir && rest == "" {
			l.fail(in, "want folders 01, 02, …; in %s/ with a misconception after the number, 01-NAME", wrongDir)
			continue
		}
		var way struct {
			Answer
			Steps []json.RawMessage `json:"steps,omitempty"`
		}
		known := l.decode(path.Join(in, file), &way)
		a := way.Answer
		a.Name, a.unread = entry.Name(), !known
		if a.Title == "" && known {
			l.fail(path.Join(in, file), "title is missing: say in a line what is done")
		}
		if folder == wrongDir {
			a.Misconception = rest
		}
		a.Steps, a.Files = l.part(e, path.Join(in, file), in, folder+" "+entry.Name(), way.Steps, nil)
		answers = append(answers, a)
	}
	return answers
}

// unused finds files that nothing uses.
func (l *loader) unused() {
	err := fs.WalkDir(l.Exercises, l.dir, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		if file := strings.TrimPrefix(name, l.dir+"/"); !l.used[file] {
			l.fail(file, "an unused file: nothing refers to it")
		}
		return nil
	})
	if err != nil {
		l.fail(".", "%w", err)
	}
}
