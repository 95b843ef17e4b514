package learn

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/labs/cli/console"
	"github.com/svclab/svclab/labs/coach"
	"github.com/svclab/svclab/labs/course"
	"github.com/svclab/svclab/labs/lesson"
	"github.com/svclab/svclab/labs/progress"
)

// session is one run of a learner's verb: the exercises, the progress, the renderer of all output, and, once connected, the cluster.
type session struct {
	*console.App
	coach.Renderer
	flags *flags
	// folder has the progress and everything else that is stored.
	folder   string
	progress progress.Progress
	source   course.Source
	input    *bufio.Reader
	// interactive: a person at a terminal can answer questions.
	interactive bool
	// given are the cluster flags of this run. Commands that are printed repeat them.
	given string
	// find finds the cluster. env is nil until then.
	find    func(ctx context.Context) (*environment, error)
	env     *environment
	spinner *spinner
}

// newSession loads the learner's progress, and stores the language if one was given.
func newSession(a *console.App, cmd *cobra.Command, f *flags) (*session, error) {
	folder, err := progress.Folder(os.Getenv)
	if err != nil {
		return nil, err
	}
	kept, err := progress.Load(folder)
	if err != nil {
		return nil, err
	}
	l, err := language(f.lang, kept.Language, os.Getenv)
	if err != nil {
		return nil, err
	}
	s := &session{App: a, flags: f, folder: folder, progress: kept, source: source(a), input: bufio.NewReader(a.In),
		interactive: !f.plain && console.Terminal(a.In) && console.Terminal(a.Out), given: console.GivenClusterFlags(cmd)}
	s.find = s.attach
	plain := f.plain || !console.Terminal(a.Out)
	s.Renderer = coach.Renderer{W: a.Out, Style: a.ReportStyle(false, plain), Language: l}
	s.spinner = newSpinner(a.Err, l, !plain && console.Terminal(a.Err))
	if f.lang != "" && kept.Language != f.lang {
		return s, s.update(func(p *progress.Progress) { p.Language = f.lang })
	}
	return s, nil
}

// command returns a command of svclab for the same cluster.
func (s *session) command(verb string) string { return "svclab " + verb + s.given }

// update changes the stored progress, which a verb in another window may have changed since it was loaded.
func (s *session) update(change func(*progress.Progress)) error {
	kept, err := progress.Update(s.folder, change)
	if err != nil {
		return err
	}
	s.progress = kept
	return nil
}

// change changes what is stored about an exercise.
func (s *session) change(id string, change func(*progress.Exercise)) error {
	return s.update(func(p *progress.Progress) { p.Change(id, change) })
}

// currentOffline loads the current exercise without a connection to the cluster.
func (s *session) currentOffline() (course.Exercise, error) {
	name, err := s.current()
	if err != nil {
		return course.Exercise{}, err
	}
	return s.load(name, s.values())
}

// valuesFile has the values of the cluster that was connected to last. Verbs that need no cluster print the same addresses by it.
func (s *session) valuesFile() string { return filepath.Join(s.folder, "values.json") }

func (s *session) keepValues(v course.Values) error {
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("keep the values of the cluster: %w", err)
	}
	if err := progress.Replace(s.valuesFile(), data); err != nil {
		return fmt.Errorf("keep the values of the cluster: %w", err)
	}
	return nil
}

// values returns the values of the cluster, those of the last one if there is no connection, or sample values if there never was
// one or the file is damaged.
func (s *session) values() course.Values {
	if s.env != nil {
		return s.env.values
	}
	var v course.Values
	data, err := os.ReadFile(s.valuesFile())
	if err != nil || json.Unmarshal(data, &v) != nil {
		return course.Sample()
	}
	return v
}

// load loads an exercise with values.
func (s *session) load(name string, values course.Values) (course.Exercise, error) {
	values.Namespace = lesson.Namespace(course.Exercise{ID: course.IDOf(name)})
	e, err := s.source.Load(name, values)
	if err != nil {
		return e, damaged(s.Language, name, err)
	}
	return e, nil
}

// current returns the folder of the current exercise.
func (s *session) current() (string, error) {
	if s.progress.Current == "" {
		return "", errors.New(coach.Say(s.Language, coach.NoCurrent))
	}
	return s.source.Find(s.progress.Current)
}

// following returns the first exercise after the one with that ID that is not passed; after the last one the search continues with
// the first. It leaves out those with the IDs left. Empty: there is none.
func (s *session) following(id string, left ...string) (string, error) {
	names, err := s.source.Names()
	if err != nil {
		return "", err
	}
	var before string
	for _, name := range names {
		switch number := course.IDOf(name); {
		case s.progress.Done(number) || number == id || slices.Contains(left, number):
		case number > id:
			return name, nil
		case before == "":
			before = name
		}
	}
	if before == "" && id != "" && !s.progress.Done(id) && !slices.Contains(left, id) {
		return s.source.Find(id)
	}
	return before, nil
}

// passed returns how many exercises are passed, and how many there are.
func (s *session) passed() (done, all int) {
	names, err := s.source.Names()
	if err != nil {
		return 0, 0
	}
	for _, name := range names {
		if s.progress.Done(course.IDOf(name)) {
			done++
		}
	}
	return done, len(names)
}

// sighting is the result of the last check of an exercise. The next check compares with it.
type sighting struct {
	Verdict reach.Verdict `json:"verdict"`
	// Start and Hand are fingerprints of what people change: at the start of the exercise, and at the last check.
	Start string `json:"start,omitempty"`
	Hand  string `json:"hand,omitempty"`
	// Checked: the learner asked for the check. Otherwise it was that of the start.
	Checked bool `json:"checked,omitempty"`
}

// seenFile has the sighting of an exercise.
func (s *session) seenFile(id string) string { return filepath.Join(s.folder, "seen-"+id+".json") }

func (s *session) keepSeen(id string, v sighting) error {
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("keep what the check saw: %w", err)
	}
	if err := progress.Replace(s.seenFile(id), data); err != nil {
		return fmt.Errorf("keep what the check saw: %w", err)
	}
	return nil
}

// lastSeen returns the last sighting, or an empty one if it cannot be read: it is only needed for a comparison.
func (s *session) lastSeen(id string) sighting {
	var v sighting
	data, err := os.ReadFile(s.seenFile(id))
	if err != nil || json.Unmarshal(data, &v) != nil {
		return sighting{}
	}
	return v
}

func (s *session) forgetSeen(id string) error {
	if err := os.Remove(s.seenFile(id)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("forget what the check saw: %w", err)
	}
	return nil
}

// ask prints a message and reads a line. At the end of the input it returns io.EOF.
func (s *session) ask(id coach.Message, args ...any) (string, error) {
	if _, err := io.WriteString(s.Out, coach.Say(s.Language, id, args...)); err != nil {
		return "", err
	}
	line, err := s.input.ReadString('\n')
	if err != nil && line == "" {
		s.Blank() // what is printed next would stand behind the question
		return "", err
	}
	return strings.TrimSpace(line), nil
}
