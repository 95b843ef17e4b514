package learn

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/world"
	"github.com/svclab/svclab/labs/coach"
	"github.com/svclab/svclab/labs/course"
	"github.com/svclab/svclab/labs/page"
	"github.com/svclab/svclab/labs/progress"
)

// webSession is the course of a page in a fake environment.
func webSession(t *testing.T) (*webCourse, *fakeEnvironment) {
	t.Helper()
	s, r, _ := testSession(t, strings.NewReader(""), flags{lang: "en"})
	if _, err := s.connect(t.Context()); err != nil {
		t.Fatal(err)
	}
	return &webCourse{session: s, class: &follower{folder: s.folder}}, r
}

func do(t *testing.T, c *webCourse, a page.Action) string {
	t.Helper()
	html, err := c.Do(t.Context(), a)
	if err != nil {
		t.Fatalf("%s: %v", a.Verb, err)
	}
	return html
}

// An exercise from start to pass by the page: each verb says what the command line prints, and stores the same.
func TestWebSolvesAnExercise(t *testing.T) {
	folder := stateOf(t, progress.Progress{})
	c, r := webSession(t)
	r.missing = "learn-04"
	do(t, c, page.Action{Verb: "start", Exercise: "04", Language: "en"})
	if r.begins != 1 || kept(t, folder).Current != "04" {
		t.Fatalf("begun %d times, at %q", r.begins, kept(t, folder).Current)
	}
	r.check = sees(reachSeen(reach.Fail, reach.Refused))
	text := do(t, c, page.Action{Verb: "check", Language: "en"})
	wants(t, text, "Not yet:", `<td class="differ">✗ refused</td>`, "After the first hint")
	lacks(t, text, "Why:", "KUBECONFIG", "\x1b")
	view, err := c.View()
	if err != nil || !slices.Equal(view.Namespaces, []string{"learn-04"}) || !view.Traffic || view.Reasons {
		t.Errorf("before a hint: %+v, %v", view, err)
	}
	wants(t, do(t, c, page.Action{Verb: "hint", Language: "zh"}), "<h3>提示 1 / 3</h3>")
	if view, err := c.View(); err != nil || !view.Reasons {
		t.Errorf("after a hint: %+v, %v", view, err)
	}
	wants(t, do(t, c, page.Action{Verb: "check", Language: "en"}), "Why:")
	r.check = sees(reachSeen(reach.Pass, reach.Reached))
	passed := do(t, c, page.Action{Verb: "check", Language: "en"})
	wants(t, passed, "Passed:", "<h3>What happened</h3>", "1 of 3 passed")
	lacks(t, text+passed, "svclab learn") // the page has buttons
	if x := kept(t, folder).Exercises["04"]; x.Passed.IsZero() || x.Checks != 3 || x.Hints != 1 {
		t.Errorf("%+v", x)
	}
	for language, want := range map[string]string{"en": "1 of 3 passed", "zh": "已通过 1 / 3"} {
		state, err := c.State(language)
		if err != nil || state.Summary != want || len(state.Exercises) != 3 || !state.Exercises[1].Passed || !state.Exercises[1].Current || state.Task == nil || !state.Task.Passed {
			t.Errorf("%s: %+v, %v", language, state, err)
		}
		wants(t, state.Task.Goal, "<p>", "<code>my-service</code>", "<pre")
	}
	r.missing = "learn-07"
	do(t, c, page.Action{Verb: "next", Language: "en"})
	if at := kept(t, folder).Current; at != "07" {
		t.Errorf("next is %s", at)
	}
	wants(t, do(t, c, page.Action{Verb: "solution", Language: "en"}), "Solution of exercise 07", "Answer of number")
	wants(t, do(t, c, page.Action{Verb: "reset", Language: "en"}), "as it was at its start")
}

func reachSeen(result reach.Result, outcome reach.Outcome) coach.Seen {
	return coach.Seen{Verdict: reach.Verdict{Result: result, Steps: []reach.Step{judged(result, outcome)}}}
}

// Who reaches what would answer the questions, so the page shows it when they are answered.
func TestWebAsksFirst(t *testing.T) {
	folder := stateOf(t, progress.Progress{Current: "07"})
	c, r := webSession(t)
	if view, err := c.View(); err != nil || view.Traffic {
		t.Errorf("before the answers: %+v, %v", view, err)
	}
	state, err := c.State("en")
	if err != nil || len(state.Task.Questions) == 0 || state.Task.Questions[0].Answer != "" || len(state.Task.Questions[0].Options) < 2 {
		t.Fatalf("%+v, %v", state.Task, err)
	}
	if _, err := c.Do(t.Context(), page.Action{Verb: "check", Language: "en"}); err == nil || !strings.Contains(err.Error(), "is not answered") {
		t.Errorf("a check without answers: %v", err)
	}
	var answers []string
	for _, q := range state.Task.Questions {
		answers = append(answers, q.ID+"="+q.Options[0].ID)
	}
	do(t, c, page.Action{Verb: "answer", Language: "en", Answers: answers})
	if view, err := c.View(); err != nil || !view.Traffic {
		t.Errorf("after the answers: %+v, %v", view, err)
	}
	if x := kept(t, folder).Exercises["07"]; len(x.First) != len(answers) {
		t.Errorf("%+v", x)
	}
	r.check = sees(reachSeen(reach.Pass, reach.Reached))
	wants(t, do(t, c, page.Action{Verb: "check", Language: "en"}), "differently from your prediction", "Choose another answer to this question: "+state.Task.Questions[0].Text)
	for _, a := range []page.Action{{Verb: "answer", Language: "en", Answers: []string{"number=maybe"}}, {Verb: "rm", Language: "en"}, {Verb: "language", Language: "fr"},
		{Verb: "start", Language: "en", Exercise: "99"}} {
		if _, err := c.Do(t.Context(), a); err == nil {
			t.Errorf("%+v is done", a)
		}
	}
	do(t, c, page.Action{Verb: "language", Language: "zh"})
	if kept(t, folder).Language != "zh" {
		t.Error("the language is not stored")
	}
}

// The terminal's shell is that of svclab learn shell, in the folder that holds the manifests of all exercises: it outlives an exercise.
func TestWebShell(t *testing.T) {
	stateOf(t, progress.Progress{Current: "04"})
	c, _ := webSession(t)
	command, err := c.Shell(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(command.Env, "KUBECONFIG="+c.session.kubeconfigFile()) || command.Dir != filepath.Dir(c.session.workFolder(course.Exercise{Name: fix})) {
		t.Errorf("%v in %s", command.Env, command.Dir)
	}
	if config, err := os.ReadFile(c.session.kubeconfigFile()); err != nil || !strings.Contains(string(config), "namespace: learn-04") {
		t.Errorf("%s, %v", config, err)
	}
}

// A command in another window changes the stamp, by which the page follows.
func TestWebStamp(t *testing.T) {
	folder := stateOf(t, progress.Progress{Current: "04"})
	c, _ := webSession(t)
	before := c.Stamp()
	if err := os.Chtimes(filepath.Join(folder, progress.File), time.Time{}, monday); err != nil {
		t.Fatal(err)
	}
	if c.Stamp() == before {
		t.Error("it is the same")
	}
}

// away is a cluster that does not answer.
type away struct{ page.Cluster }

func (away) Facts(context.Context) (world.Facts, error) {
	return world.Facts{}, errors.New("no answer")
}

// The page's address is printed, and Ctrl-C ends it without an error.
func TestWeb(t *testing.T) {
	stateOf(t, progress.Progress{Current: "04"})
	s, _, out := testSession(t, strings.NewReader(""), flags{lang: "en"})
	find := s.find
	s.find = func(ctx context.Context) (*environment, error) {
		env, err := find(ctx)
		env.shown.Cluster = away{}
		return env, err
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.web(ctx) }()
	for bound := time.Now().Add(10 * time.Second); !strings.Contains(out.String(), "Open this page in your browser: http://127.0.0.1:"); {
		if time.Now().After(bound) {
			t.Fatalf("it printed %s", out)
		}
		time.Sleep(10 * time.Millisecond)
	}
	cancel(errors.New("interrupted"))
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
