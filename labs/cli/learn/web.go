package learn

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"

	"github.com/svclab/svclab/labs/class"
	"github.com/svclab/svclab/labs/cli/console"
	"github.com/svclab/svclab/labs/coach"
	"github.com/svclab/svclab/labs/course"
	"github.com/svclab/svclab/labs/lesson"
	"github.com/svclab/svclab/labs/page"
	"github.com/svclab/svclab/labs/progress"
)

// web continues as resume does, in a page that it serves until ctx ends.
func (s *session) web(ctx context.Context) error {
	e, _, err := s.continued(ctx)
	if err == nil && e.ID == "" { // those that are passed can be started again in the page
		_, err = s.connect(ctx)
	}
	if err != nil {
		return err
	}
	course := &webCourse{session: s, class: &follower{folder: s.folder}}
	defer course.class.follow(ctx)()
	options := s.env.shown
	options.Course, options.Language = course, string(s.Language)
	return page.Serve(ctx, options, func(url string) {
		s.Say(coach.WebOn, url)
		s.Quiet(coach.WebRules)
		s.Quiet(coach.WebShell)
	})
}

// webCourse is the course as a page uses it. Each call is a run of its own: it has its own output, and loads the progress again,
// because a command in a terminal may have changed it.
type webCourse struct {
	session *session
	class   *follower
	// verbs run one after the other.
	verbs sync.Mutex

	mu     sync.Mutex
	loaded map[string]course.Exercise
}

var _ page.Course = (*webCourse)(nil)

// run returns a session that writes HTML to out.
func (c *webCourse) run(language string, out *bytes.Buffer) (*session, error) {
	s := *c.session
	app := *s.App
	app.Streams = console.Streams{In: strings.NewReader(""), Out: out, Err: io.Discard}
	l := course.Language(language)
	s.App, s.Renderer = &app, coach.Renderer{W: out, Language: l, HTML: true}
	s.interactive, s.flags, s.spinner = false, &flags{yes: true}, newSpinner(io.Discard, l, false)
	var err error
	s.progress, err = progress.Load(s.folder)
	return &s, err
}

// exercise returns an exercise as the session's cluster has it.
func (c *webCourse) exercise(s *session, name string) (course.Exercise, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e, known := c.loaded[name]; known {
		return e, nil
	}
	e, err := s.load(name, s.env.values)
	if err == nil {
		c.loaded = maps.Clone(c.loaded)
		if c.loaded == nil {
			c.loaded = map[string]course.Exercise{}
		}
		c.loaded[name] = e
	}
	return e, err
}

// Stamp is that of the files with the progress and the class, and whether the class can be reached.
func (c *webCourse) Stamp() string {
	return fmt.Sprint(stamp(c.session.folder, progress.File, class.File), c.class.problem())
}

// View hides who reaches what until the questions are answered, because it would show the answer, and what is predicted until
// a hint is shown, as a check does.
func (c *webCourse) View() (page.View, error) {
	s, err := c.run(string(c.session.Language), &bytes.Buffer{})
	if err != nil || s.progress.Current == "" {
		return page.View{}, err
	}
	name, err := s.current()
	if err != nil {
		return page.View{}, err
	}
	e, err := c.exercise(s, name)
	if err != nil {
		return page.View{}, err
	}
	return page.View{Namespaces: e.Spaces(lesson.Namespace(e)), Traffic: s.unanswered(e) == nil, Reasons: s.explains(e)}, nil
}

// State is what the verbs list and status print, and the exercise's goal and questions.
func (c *webCourse) State(language string) (page.State, error) {
	var out bytes.Buffer
	s, err := c.run(language, &out)
	if err != nil {
		return page.State{}, err
	}
	names, err := s.source.Names()
	if err != nil {
		return page.State{}, err
	}
	done, all := s.passed()
	state := page.State{Summary: coach.Say(s.Language, coach.PassedOf, done, all)}
	for _, name := range names {
		e, err := c.exercise(s, name)
		if err != nil {
			return state, err
		}
		current := e.ID == s.progress.Current
		state.Exercises = append(state.Exercises, page.Entry{ID: e.ID, Kind: coach.Say(s.Language, kindID(e.Kind)), Title: e.Title(s.Language),
			Passed: s.progress.Done(e.ID), Current: current, Notes: s.notes(e)})
		if current {
			state.Task = s.task(e, &out)
		}
	}
	out.Reset()
	s.HTML = false
	if trouble := c.class.problem(); trouble != nil {
		s.Say(coach.ClassTrouble, trouble)
	} else {
		s.membership()
	}
	state.Class = strings.TrimSpace(out.String())
	return state, s.Done()
}

// task is an exercise as the page shows it. out is the session's output.
func (s *session) task(e course.Exercise, out *bytes.Buffer) *page.Task {
	kept := s.progress.Exercises[e.ID]
	t := page.Task{ID: e.ID, Heading: s.heading(e), Passed: s.progress.Done(e.ID), Hints: kept.Hints, HintsOf: course.Hints}
	out.Reset()
	s.Markdown(e.Say(s.Language, "goal"))
	t.Goal = out.String()
	for _, q := range e.Questions {
		shown := page.Question{ID: q.ID, Text: coach.Inline(e.Say(s.Language, "question/"+q.ID)), Answer: kept.Answers[q.ID]}
		for _, option := range q.Options {
			shown.Options = append(shown.Options, page.Option{ID: option, Text: coach.Inline(e.Say(s.Language, course.OptionID(q.ID, option)))})
		}
		t.Questions = append(t.Questions, shown)
	}
	if len(e.Files) > 0 {
		t.Notes = append(t.Notes, coach.Say(s.Language, coach.Files, s.workFolder(e)))
	}
	if !hasKubectl() {
		t.Notes = append(t.Notes, coach.Say(s.Language, coach.NoKubectl, s.env.copyKubectl))
	}
	return &t
}

// Do runs a verb of the command line, and says what it prints.
func (c *webCourse) Do(ctx context.Context, a page.Action) (string, error) {
	c.verbs.Lock()
	defer c.verbs.Unlock()
	var out bytes.Buffer
	s, err := c.run(a.Language, &out)
	if err != nil {
		return "", err
	}
	s.flags.answers = a.Answers
	err = console.NotVerdict(s.webVerb(ctx, a))
	return out.String(), errors.Join(err, s.Done())
}

// webVerb runs a verb. Those that set an exercise up print little: the page shows its state.
func (s *session) webVerb(ctx context.Context, a page.Action) error {
	switch a.Verb {
	case "language":
		if _, err := language(a.Language, "", os.Getenv); err != nil {
			return err
		}
		return s.update(func(p *progress.Progress) { p.Language = a.Language })
	case "answer":
		e, err := s.currentOffline()
		if err != nil {
			return err
		}
		return s.takeAnswers(e)
	case "check":
		return s.check(ctx)
	case "hint":
		return s.hint(ctx, "")
	case "solution":
		return s.solution()
	case "words":
		return s.words()
	case "start", "next", "reset":
		return s.webEnter(ctx, a)
	}
	return fmt.Errorf("the page has no verb %q", a.Verb)
}

// webEnter sets an exercise up: the chosen one, the next, or the current one again.
func (s *session) webEnter(ctx context.Context, a page.Action) (err error) {
	var (
		e       course.Exercise
		resumed bool
	)
	switch a.Verb {
	case "start":
		e, resumed, err = s.chosen(ctx, a.Exercise)
	case "next":
		e, resumed, err = s.advance(ctx, s.progress.Current)
	case "reset":
		var name string
		if name, err = s.current(); err == nil {
			e, resumed, err = s.enter(ctx, name, true)
		}
	}
	switch {
	case err != nil || e.ID == "":
		return err
	case resumed:
		s.Quiet(coach.Resumed)
	case a.Verb == "reset":
		s.Say(coach.ResetDone)
	}
	return s.Done()
}

// Shell is a shell whose kubectl goes to the current exercise, also after another one has begun. So it opens in the folder of all
// exercises' manifests; and bash shows only the end of the folder's name, because a line in the page is short.
func (c *webCourse) Shell(ctx context.Context) (*exec.Cmd, error) {
	s, err := c.run(string(c.session.Language), &bytes.Buffer{})
	if err != nil {
		return nil, err
	}
	e, err := s.currentOffline()
	if err != nil {
		return nil, err
	}
	command, err := s.shellOf(ctx, e)
	if err != nil {
		return nil, err
	}
	command.Dir = filepath.Dir(command.Dir)
	command.Env = append(command.Env, "PROMPT_DIRTRIM=1")
	return command, nil
}
