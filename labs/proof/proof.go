// Package proof shows on a real cluster that exercises teach what they say: that an exercise as it is begun is not
// passed; that every solution passes; that every wrong answer fails with its own misconception; that a reset brings
// back what there was, object by object; that the commands its text quotes print what it says.
package proof

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/runner"
	"github.com/svclab/svclab/e2e/scenario"
	"github.com/svclab/svclab/labs/coach"
	"github.com/svclab/svclab/labs/course"
	"github.com/svclab/svclab/labs/lesson"
)

// Prover proves exercises on one cluster.
type Prover struct {
	Cluster runner.Cluster
	Runner  *runner.Runner
	Source  course.Source
	// Values are what the cluster knows; the namespace is each attempt's own.
	Values course.Values
	// Notes is a folder for what must be put back.
	Notes string
	// Workers is how many answers are tried at once.
	Workers int
	// Log gets a line for each claim as it is proven.
	Log io.Writer
}

// Claim is one thing to be shown of an exercise.
type Claim struct {
	Exercise, What string
	Result         reach.Result
	Why            string
	Elapsed        time.Duration
}

// Prove proves the named exercises and returns what came of each claim, in the order of the exercises. Their solutions
// and wrong answers are each done in namespaces of their own, side by side as far as the exercises' claims allow. The
// error is that nothing could be loaded or that ctx ended.
func (p Prover) Prove(ctx context.Context, names []string) ([]Claim, error) {
	attempts, err := p.attempts(names)
	if err != nil {
		return nil, err
	}
	var (
		mu    sync.Mutex
		plans []scenario.Scenario
	)
	for _, a := range attempts {
		a.say = func(c Claim) {
			mu.Lock()
			defer mu.Unlock()
			a.claims = append(a.claims, c)
			line := fmt.Sprintf("%-12s %s: %s (%s)", c.Result, c.Exercise, c.What, c.Elapsed.Round(100*time.Millisecond))
			if c.Why != "" {
				line += ": " + c.Why
			}
			_, _ = fmt.Fprintln(p.Log, line) // progress; the claims are returned
		}
	}
	// those that must wait for each other go first, so that they do not end up waiting while nothing else is left to do
	order := slices.Clone(attempts)
	slices.SortStableFunc(order, func(a, b *attempt) int { return cmp.Compare(len(b.plan.Claims), len(a.plan.Claims)) })
	for _, a := range order {
		plans = append(plans, a.plan)
	}
	runner.Schedule(ctx, p.Workers, plans, func(i int) { order[i].prove(ctx) })
	var all []Claim
	for _, a := range attempts {
		all = append(all, a.claims...)
	}
	if err := ctx.Err(); err != nil {
		return all, fmt.Errorf("prove %d exercises: %w", len(names), context.Cause(ctx))
	}
	return all, nil
}

// attempts are those at all answers of the named exercises: first the solutions, then the wrong answers.
func (p Prover) attempts(names []string) ([]*attempt, error) {
	var attempts []*attempt
	for _, name := range names {
		e, err := p.Source.Load(name, course.Sample())
		if err != nil {
			return nil, err
		}
		plan := scenario.Scenario{Name: name, Claims: e.Claims, Shares: e.Shares}
		for i := range e.Solutions {
			attempts = append(attempts, &attempt{Prover: p, name: name, needs: e, solution: i, plan: plan})
		}
		for _, wrong := range e.Wrong {
			attempts = append(attempts, &attempt{Prover: p, name: name, needs: e, solution: -1, wrong: wrong.Name, plan: plan})
		}
	}
	return attempts, nil
}

// attempt is one at an answer of an exercise: the solution with that number, or the wrong answer where it is negative. With
// the first solution all is shown that needs no other answer.
type attempt struct {
	Prover

	name     string
	solution int
	wrong    string
	// needs is the exercise with sample values.
	needs course.Exercise
	plan  scenario.Scenario

	say    func(Claim)
	claims []Claim
}

// errNot is what is wrong with an exercise, as against with the means to prove it.
type errNot struct{ text string }

func (e errNot) Error() string { return e.text }

func not(format string, args ...any) error { return errNot{fmt.Sprintf(format, args...)} }

// claim shows one thing and tells what came of it; false when the rest makes no sense.
func (a *attempt) claim(what string, show func() error) bool {
	began := time.Now()
	err := show()
	c := Claim{Exercise: a.name, What: what, Result: reach.Pass, Elapsed: time.Since(began)}
	var wrong errNot
	switch {
	case errors.As(err, &wrong):
		c.Result = reach.Fail
	case err != nil:
		c.Result = reach.Inconclusive
	}
	if err != nil {
		c.Why = err.Error()
	}
	a.say(c)
	return err == nil
}

// prove begins the exercise in a new namespace, does the answer, shows what is to be shown of it, and leaves.
func (a *attempt) prove(ctx context.Context) {
	if why, err := (lesson.Environment{Cluster: a.Cluster, Runner: a.Runner}).Lacks(ctx, a.needs); err != nil || why != "" {
		if a.solution != 0 {
			return // said once for the exercise
		}
		a.claim("the cluster has what it needs", func() error {
			if err != nil {
				return err
			}
			return errors.New(why)
		})
		return
	}
	var (
		values    = a.Values
		namespace = fmt.Sprintf("learn-%s-%s", a.name[:2], suffix())
		room      = lesson.Environment{Cluster: a.Cluster, Runner: a.Runner, Notes: filepath.Join(a.Notes, namespace)}
		what      = "wrong answer " + a.wrong
	)
	values.Namespace = namespace
	e, err := a.Source.Load(a.name, values)
	if err != nil {
		a.claim(what, func() error { return err })
		return
	}
	var way course.Answer
	if a.solution >= 0 {
		way = e.Solutions[a.solution]
		what = "solution " + way.Name
	}
	for _, w := range e.Wrong {
		if w.Name == a.wrong {
			way = w
		}
	}
	namespaces := append([]string{namespace}, also(e, namespace)...)
	defer func() {
		clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), 90*time.Second)
		defer cancel()
		if err := room.Leave(clean, namespaces, false); err != nil {
			a.claim("leave "+what, func() error { return err })
		}
	}()
	if !a.claim("begin for "+what, func() error { return room.Begin(ctx, e, namespace) }) {
		return
	}
	var before []string
	if a.solution == 0 {
		if !a.unsolved(ctx, room, e, namespace) {
			return
		}
		if !a.claim("take the inventory", func() (err error) { before, err = a.inventory(ctx, e, namespaces); return err }) {
			return
		}
	}
	ok := a.claim(what, func() error {
		if err := room.Do(ctx, e, namespace, way.Steps); err != nil {
			return err
		}
		seen, err := room.Check(ctx, e, namespace)
		if err != nil {
			return err
		}
		return judge(e, way, seen)
	})
	state := way.Name
	if a.solution >= 0 {
		state = "solved"
	}
	if a.solution <= 0 && ok {
		a.quotes(ctx, e, namespace, state)
	}
	if a.solution == 0 && ok {
		a.reset(ctx, room, e, namespaces, before)
	}
}

// judge compares what a check of an answer saw with what it was to see.
func judge(e course.Exercise, way course.Answer, seen coach.Seen) error {
	passed := coach.Passed(e, way.Answers, seen)
	if seen.Verdict.Result == reach.Inconclusive {
		return fmt.Errorf("the goal could not be judged: %s", why(seen.Verdict))
	}
	if way.Misconception == "" {
		if !passed {
			return not("it does not pass: %s", why(seen.Verdict))
		}
		return nil
	}
	if passed {
		return not("it passes")
	}
	diagnosis, err := coach.Diagnose(e, way.Answers, seen)
	if err != nil {
		return err
	}
	if diagnosis.Misconception != way.Misconception {
		return not("it shows misconception %q, not its own; the goal: %s", diagnosis.Misconception, why(seen.Verdict))
	}
	return nil
}

func why(v reach.Verdict) string {
	var parts []string
	for _, step := range v.Steps {
		if step.Result != reach.Pass {
			parts = append(parts, fmt.Sprintf("%s: %s %s", step.Name, step.Result, step.Why))
		}
	}
	if len(parts) == 0 {
		return "the goal is met"
	}
	return strings.Join(parts, "; ")
}

// unsolved shows that the exercise as it was begun is not passed, and that what its text quotes of it is so.
func (a *attempt) unsolved(ctx context.Context, room lesson.Environment, e course.Exercise, namespace string) bool {
	ok := a.claim("unsolved fails", func() error {
		seen, err := room.Check(ctx, e, namespace)
		if err != nil {
			return err
		}
		if seen.Verdict.Result == reach.Inconclusive {
			return fmt.Errorf("the goal could not be judged: %s", why(seen.Verdict))
		}
		if coach.Passed(e, nil, seen) {
			return not("it passes")
		}
		for n := 1; n <= course.Hints; n++ {
			if _, err := coach.Hint(e, n, seen); err != nil {
				return err
			}
		}
		_, err = coach.Diagnose(e, nil, seen)
		return err
	})
	a.quotes(ctx, e, namespace, "start")
	return ok
}

// quotes executes the commands that the text quotes of a state.
func (a *attempt) quotes(ctx context.Context, e course.Exercise, namespace, state string) {
	quotes, err := e.Quotes()
	if err != nil {
		a.claim("quotes", func() error { return err })
		return
	}
	for _, q := range quotes {
		if q.State != state {
			continue
		}
		a.claim(fmt.Sprintf("%s quotes: %s", q.Message, strings.Join(strings.Fields(q.Command), " ")), func() error {
			part := course.Part{Name: e.Name, Title: "quote", Needs: e.Needs, Claims: e.Claims, Steps: []scenario.Step{{Name: "quote", Action: q.Run()}}}
			verdict := a.Runner.In(ctx, runner.Place{Namespace: namespace, Also: also(e, namespace)}, part)
			switch err := lesson.Done(verdict); {
			case verdict.Result == reach.Inconclusive:
				return err
			case err != nil:
				return not("%v", err)
			}
			printed := verdict.Steps[0].Lines[1:] // the first is the command
			if difference := q.Differ(strings.Join(printed, "\n")); difference != "" {
				return not("%s", difference)
			}
			return nil
		})
	}
}

// reset shows that a reset brings back the start, whose inventory is before.
func (a *attempt) reset(ctx context.Context, room lesson.Environment, e course.Exercise, namespaces, before []string) {
	a.claim("reset equals the start", func() error {
		if err := room.Leave(ctx, namespaces, true); err != nil {
			return err
		}
		if err := room.Begin(ctx, e, namespaces[0]); err != nil {
			return err
		}
		after, err := a.inventory(ctx, e, namespaces)
		if err != nil {
			return err
		}
		if len(before) == 0 {
			return errors.New("nothing was there at the start")
		}
		if difference := differ(before, after); difference != "" {
			return not("%s", difference)
		}
		return nil
	})
}

func also(e course.Exercise, namespace string) []string {
	var names []string
	for _, name := range e.Namespaces {
		names = append(names, namespace+"-"+name)
	}
	return names
}

const letters = "bcdfghjkmnpqrstvwxz"

func suffix() string {
	text := make([]byte, 5)
	for i := range text {
		text[i] = letters[rand.IntN(len(letters))]
	}
	return string(text)
}
