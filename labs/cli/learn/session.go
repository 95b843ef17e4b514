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
	"strings"

	"github.com/spf13/cobra"

	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/labs/cli/console"
	"github.com/svclab/svclab/labs/coach"
	"github.com/svclab/svclab/labs/course"
	"github.com/svclab/svclab/labs/lesson"
	"github.com/svclab/svclab/labs/progress"
)

// session is one verb of a learner's: the exercises, the progress, the renderer of all output, and, once connected, the
// environment in which exercises are done.
type session struct {
	*console.App
	coach.Renderer
	flags *flags
	// folder keeps the progress and everything else that outlives the verb.
	folder   string
	progress progress.Progress
	source   course.Source
	input    *bufio.Reader
	// interactive: a person at a terminal can answer questions.
	interactive bool
	// given are the flags of the command that describe the cluster, for commands that are printed.
	given string
	// find finds the cluster; env is nil until it has.
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

// command is a command of svclab's, for the cluster that is meant.
func (s *session) command(verb string) string { return "svclab " + verb + s.given }

// update changes the progress as it is kept now: a verb in another window may have changed it since this one began.
func (s *session) update(change func(*progress.Progress)) error {
	kept, err := progress.Load(s.folder)
	if err != nil {
		return err
	}
	change(&kept)
	s.progress = kept
	return progress.Save(s.folder, kept)
}

// change changes what is kept of an exercise.
func (s *session) change(id string, change func(*progress.Exercise)) error {
	return s.update(func(p *progress.Progress) { p.Change(id, change) })
}

// load loads an exercise, filled in for a cluster or with samples.
func (s *session) load(name string, values course.Values) (course.Exercise, error) {
	id, _, _ := strings.Cut(name, "-")
	values.Namespace = lesson.Namespace(course.Exercise{ID: id})
	e, err := s.source.Load(name, values)
	if err != nil {
		return e, damaged(s.Language, name, err)
	}
	return e, nil
}

// current is the folder of the exercise under way.
func (s *session) current() (string, error) {
	if s.progress.Current == "" {
		return "", errors.New(coach.Say(s.Language, coach.NoCurrent))
	}
	return s.source.Find(s.progress.Current)
}

// following is the first exercise not passed after the one with that ID, going round; empty: all are passed.
func (s *session) following(id string) (string, error) {
	names, err := s.source.Names()
	if err != nil {
		return "", err
	}
	var before string
	for _, name := range names {
		number, _, _ := strings.Cut(name, "-")
		switch {
		case s.progress.Done(number) || number == id:
		case number > id:
			return name, nil
		case before == "":
			before = name
		}
	}
	if before == "" && id != "" && !s.progress.Done(id) {
		return s.source.Find(id)
	}
	return before, nil
}

// passed says how many of the course's exercises are.
func (s *session) passed() (done, all int) {
	names, err := s.source.Names()
	if err != nil {
		return 0, 0
	}
	for _, name := range names {
		id, _, _ := strings.Cut(name, "-")
		if s.progress.Done(id) {
			done++
		}
	}
	return done, len(names)
}

// seenFile keeps the verdict of the last check of an exercise, for the next one to compare with.
func (s *session) seenFile(id string) string { return filepath.Join(s.folder, "seen-"+id+".json") }

func (s *session) keepSeen(id string, v reach.Verdict) error {
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("keep what the check saw: %w", err)
	}
	if err := progress.Replace(s.seenFile(id), data); err != nil {
		return fmt.Errorf("keep what the check saw: %w", err)
	}
	return nil
}

// lastSeen is what the last check saw. One that cannot be read is none: it is only compared with.
func (s *session) lastSeen(id string) reach.Verdict {
	var v reach.Verdict
	data, err := os.ReadFile(s.seenFile(id))
	if err != nil || json.Unmarshal(data, &v) != nil {
		return reach.Verdict{}
	}
	return v
}

func (s *session) forgetSeen(id string) error {
	if err := os.Remove(s.seenFile(id)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("forget what the check saw: %w", err)
	}
	return nil
}

// ask writes a message and reads a line. At the end of the input it returns io.EOF.
func (s *session) ask(id coach.Message, args ...any) (string, error) {
	if _, err := io.WriteString(s.Out, coach.Say(s.Language, id, args...)); err != nil {
		return "", err
	}
	line, err := s.input.ReadString('\n')
	if err != nil && line == "" {
		return "", err
	}
	return strings.TrimSpace(line), nil
}
