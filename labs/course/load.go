package course

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

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
	// sharedPrefix names manifests that several exercises set up: app/NAME.yaml of the folder manifests.
	sharedPrefix = "app/"
)

var (
	folderPattern = regexp.MustCompile(`^([0-9]{2})-[a-z0-9]+(-[a-z0-9]+)*$`)
	numberPattern = regexp.MustCompile(`^[0-9]{2}$`)
)

// textFile is the name of the file that holds a language's text.
func textFile(l Language) string { return "text." + string(l) + ".md" }

// Source is where exercises are loaded from.
type Source struct {
	// Exercises is rooted at labs/exercises, Manifests at manifests.
	Exercises, Manifests fs.FS
	// Checks are the names of the Go checks that steps may ask for; nil: any.
	Checks []string
}

// Names lists the exercises' folders in order.
func (s Source) Names() ([]string, error) {
	entries, err := fs.ReadDir(s.Exercises, ".")
	if err != nil {
		return nil, fmt.Errorf("list the exercises: %w", err)
	}
	var names []string
	for _, e := range entries {
		if !e.IsDir() {
			return nil, fmt.Errorf("%s: a stray file: only folders stand here, one for each exercise", e.Name())
		}
		names = append(names, e.Name())
	}
	if len(names) == 0 {
		return nil, errors.New("there is no exercise")
	}
	return names, nil
}

// Find returns the folder that a person means by "4", "04" or "04-wrong-target-port".
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

// LoadAll loads every exercise, filled in with sample values, and tells all that is wrong with any.
func (s Source) LoadAll() ([]Exercise, error) {
	names, err := s.Names()
	if err != nil {
		return nil, err
	}
	var (
		exercises []Exercise
		errs      []error
		known     = map[string]bool{}
	)
	for _, name := range names {
		e, err := s.Load(name, Sample())
		if err != nil {
			errs = append(errs, err)
		}
		for _, p := range e.Prerequisites {
			if !known[p] {
				errs = append(errs, fmt.Errorf("%s: prerequisite %q is no exercise before it", name, p))
			}
		}
		if known[e.ID] {
			errs = append(errs, fmt.Errorf("%s: another exercise has the number %s", name, e.ID))
		}
		known[e.ID] = true
		exercises = append(exercises, e)
	}
	return exercises, errors.Join(errs...)
}

// Load loads one exercise by its folder's name, filled in.
func (s Source) Load(name string, values Values) (Exercise, error) {
	l := &loader{Source: s, dir: name, values: values, used: map[string]bool{}}
	e := l.exercise()
	if err := errors.Join(l.errs...); err != nil {
		return e, prefixed(name, err)
	}
	return e, nil
}

// prefixed puts the folder's name before each line of err.
func prefixed(name string, err error) error {
	var errs []error
	for line := range strings.SplitSeq(err.Error(), "\n") {
		errs = append(errs, errors.New(name+"/"+line))
	}
	return errors.Join(errs...)
}

// loader loads one folder and collects what is wrong in it.
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

// head is exercise.yaml.
type head struct {
	Kind           Kind            `json:"kind"`
	Prerequisites  []string        `json:"prerequisites,omitempty"`
	Needs          scenario.Needs  `json:"needs,omitempty"`
	Claims         []string        `json:"claims,omitempty"`
	Shares         []string        `json:"shares,omitempty"`
	Vantages       []string        `json:"vantages"`
	Cluster        []scenario.Ref  `json:"cluster,omitempty"`
	Namespaces     []string        `json:"namespaces,omitempty"`
	Setup          []scenario.Step `json:"setup"`
	Questions      []Question      `json:"questions,omitempty"`
	Goal           []scenario.Step `json:"goal"`
	Misconceptions []Misconception `json:"misconceptions"`
	Variants       []Variant       `json:"variants,omitempty"`
}

// way is solution.yaml or wrong.yaml.
type way struct {
	// Title says in a line what is done.
	Title   string            `json:"title"`
	Answers map[string]string `json:"answers,omitempty"`
	Steps   []scenario.Step   `json:"steps,omitempty"`
}

func (l *loader) exercise() Exercise {
	var (
		h      head
		tables struct {
			Tables map[string]scenario.Table `json:"tables"`
		}
		id, _, _ = strings.Cut(l.dir, "-")
		e        = Exercise{ID: id, Name: l.dir, Texts: map[Language]Text{}, values: l.values}
	)
	if !folderPattern.MatchString(l.dir) {
		l.fail(".", "the folder is called NN-name: two digits and lower-case words joined by hyphens")
		return e
	}
	if !l.decode(exerciseFile, &h) {
		return e
	}
	if l.exists(expectFile) {
		l.decode(expectFile, &tables)
	}
	e.Kind, e.Prerequisites, e.Needs, e.Claims, e.Shares = h.Kind, h.Prerequisites, h.Needs, h.Claims, h.Shares
	e.Vantages, e.Cluster, e.Namespaces = h.Vantages, h.Cluster, h.Namespaces
	e.Questions, e.Misconceptions, e.Variants = h.Questions, h.Misconceptions, h.Variants
	e.Setup, e.Files = l.part(e, exerciseFile, setupDir, "setup", h.Setup, nil)
	e.Goal, _ = l.part(e, exerciseFile, setupDir, "goal", h.Goal, tables.Tables)
	e.Solutions = l.ways(e, solutionsDir, solutionFile)
	e.Wrong = l.ways(e, wrongDir, wrongFile)
	for _, language := range Languages() {
		data, ok := l.read(textFile(language))
		if !ok {
			continue
		}
		text, err := parseText(data)
		if err != nil {
			l.fail(textFile(language), "%w", err)
		}
		e.Texts[language] = text
	}
	l.strays()
	if len(l.errs) == 0 {
		l.errs = append(l.errs, e.validate()...)
	}
	return e
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
	data, ok := l.read(file)
	if !ok {
		return false
	}
	asJSON, err := yaml.YAMLToJSONStrict([]byte(l.values.Fill(data)))
	if err == nil {
		err = scenario.DecodeStrict(asJSON, out)
	}
	if err != nil {
		l.fail(file, "%w", err)
	}
	return err == nil
}

// part makes steps runnable: it loads the manifests they apply, from folder or the shared ones, and checks them.
func (l *loader) part(e Exercise, file, folder, name string, steps []scenario.Step, tables map[string]scenario.Table) (Part, map[string]string) {
	for name, table := range tables {
		if len(table.From) == 0 && table.Clients == "" {
			table.From = e.Vantages
			tables[name] = table
		}
	}
	p := Part{Name: e.Name, Title: name, Needs: e.Needs, Claims: e.Claims, Shares: e.Shares, Steps: steps,
		Objects: map[string][]*unstructured.Unstructured{}, Tables: tables}
	files := map[string]string{}
	for _, step := range steps {
		names := slices.Clone(step.Apply)
		if step.Reject != nil && step.Reject.Apply != "" {
			names = append(names, step.Reject.Apply)
		}
		for _, manifest := range names {
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
	if err := p.ValidatePart(l.Checks); err != nil {
		l.fail(file, "%s: %w", name, err)
	}
	return p, files
}

// foreign are the namespaces beside the exercise's own in which manifests may put objects.
func (e Exercise) foreign(values Values) []string {
	var names []string
	for _, name := range e.Namespaces {
		names = append(names, values.Namespace+"-"+name)
	}
	for _, ref := range e.Cluster {
		if ref.Namespace != "" {
			names = append(names, ref.Namespace)
		}
	}
	return names
}

func (l *loader) manifest(by, folder, name string) (string, bool) {
	if path.Ext(name) != ".yaml" || strings.Contains(strings.TrimPrefix(name, sharedPrefix), "/") {
		l.fail(by, "%q is no manifest: want NAME.yaml of %s/ or %sNAME.yaml", name, folder, sharedPrefix)
		return "", false
	}
	if !strings.HasPrefix(name, sharedPrefix) {
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
			l.fail(in, "want folders 01, 02, …; those of %s/ with a misconception behind the number, 01-NAME", wrongDir)
			continue
		}
		var w way
		if !l.decode(path.Join(in, file), &w) {
			continue
		}
		if w.Title == "" {
			l.fail(path.Join(in, file), "title is missing: say in a line what is done")
		}
		a := Answer{Name: entry.Name(), Title: w.Title, Answers: w.Answers}
		if folder == wrongDir {
			a.Misconception = rest
		}
		a.Steps, a.Files = l.part(e, path.Join(in, file), in, folder+" "+entry.Name(), w.Steps, nil)
		answers = append(answers, a)
	}
	return answers
}

// strays finds files that nothing uses.
func (l *loader) strays() {
	err := fs.WalkDir(l.Exercises, l.dir, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		if file := strings.TrimPrefix(name, l.dir+"/"); !l.used[file] {
			l.fail(file, "a stray file: nothing uses it")
		}
		return nil
	})
	if err != nil {
		l.fail(".", "%w", err)
	}
	slices.SortStableFunc(l.errs, func(a, b error) int { return cmp.Compare(a.Error(), b.Error()) })
}
