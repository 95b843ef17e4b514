// Package proof proves on a real cluster that exercises teach what they say: at its start an exercise is not passed and shows no
// misconception; every solution passes; every wrong answer fails with its own misconception; a reset restores the start, object by
// object; and the commands that the text quotes print what the text says.
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
	// Walker traces connections, one at a time: the traces of several would be those of a busy machine.
	Walker Walker
	// Values are the cluster's values. Each attempt sets its own namespace.
	Values course.Values
	// Folder is a folder for snapshots of cluster-wide objects.
	Folder string
	// Workers is how many answers are tried at once.
	Workers int
	// Only are the answers that are tried, by folder: "01", "02-a-new-service-is-the-same". Empty: all.
	Only []string
	// Log gets a line for each claim when it has been tried.
	Log io.Writer
}

// Claim is one statement about an exercise, and whether it is true.
type Claim struct {
	Exercise, What string
	Result         reach.Result
	Why            string
	Elapsed        time.Duration
}

// Prove proves the named exercises and returns all claims with their results, in the order of the exercises. Each solution and
// each wrong answer is tried in namespaces of its own, several at once as far as the exercises' claims allow. The error is that an
// exercise could not be loaded, or that ctx ended.
func (p Prover) Prove(ctx context.Context, names []string) ([]Claim, error) {
	attempts, err := p.attempts(names)
	if err != nil {
		return nil, err
	}
	var (
		mu    sync.Mutex
		plans []scenario.Scenario
	)
	tracing := &sync.Mutex{}
	for _, a := range attempts {
		a.tracing = tracing
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
	// Attempts that claim something must wait for each other. They go first, so that others run meanwhile.
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

// attempts returns one attempt for each answer of the named exercises: first the solutions, then the wrong answers.
func (p Prover) attempts(names []string) ([]*attempt, error) {
	var attempts []*attempt
	for _, name := range names {
		e, err := p.Source.Load(name, course.Sample())
		if err != nil {
			return nil, err
		}
		plan := scenario.Scenario{Name: name, Claims: e.Claims, Shares: e.Shares, Serial: e.Serial}
		wanted := func(answer string) bool { return len(p.Only) == 0 || slices.Contains(p.Only, answer) }
		for i := range e.Solutions {
			if !wanted(e.Solutions[i].Name) {
				continue
			}
			attempts = append(attempts, &attempt{Prover: p, name: name, needs: e, solution: i, plan: plan})
		}
		for _, wrong := range e.Wrong {
			if !wanted(wrong.Name) {
				continue
			}
			attempts = append(attempts, &attempt{Prover: p, name: name, needs: e, solution: -1, wrong: wrong.Name, plan: plan})
		}
	}
	return attempts, nil
}

// attempt tries one answer of an exercise. The attempt at the first solution also proves everything that does not depend on an
// answer.
type attempt struct {
	Prover

	name string
	// solution is the index of the solution, or negative for a wrong answer, whose name is wrong.
	solution int
	wrong    string
	// needs is the exercise with sample values.
	needs course.Exercise
	plan  scenario.Scenario

	say    func(Claim)
	claims []Claim
	// tracing is held while a connection is traced.
	tracing *sync.Mutex
}

// errNot says that a claim is false. Every other error says that the claim could not be checked.
type errNot struct{ text string }

func (e errNot) Error() string { return e.text }

func not(format string, args ...any) error { return errNot{fmt.Sprintf(format, args...)} }

// claim checks one claim and reports it. It returns false if the claim is not true, or could not be checked.
func (a *attempt) claim(what string, check func() error) bool {
	began := time.Now()
	err := check()
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

// prove sets the exercise up in a new namespace, does the answer, checks the claims about it, and deletes the namespace.
func (a *attempt) prove(ctx context.Context) {
	if why, err := (lesson.Environment{Cluster: a.Cluster, Runner: a.Runner}).Lacks(ctx, a.needs); err != nil || why != "" {
		if a.solution != 0 {
			return // the attempt at the first solution reports it
		}
		if err == nil {
			a.say(Claim{Exercise: a.name, What: "left out on this cluster", Result: reach.Skipped, Why: why})
			return
		}
		a.claim("the cluster has what it needs", func() error { return err })
		return
	}
	var (
		values    = a.Values
		namespace = fmt.Sprintf("prove-%s-%s", course.IDOf(a.name), suffix()) // not lesson.Prefix: svclab learn deletes those
		env       = lesson.Environment{Cluster: a.Cluster, Runner: a.Runner, Folder: filepath.Join(a.Folder, namespace)}
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
	namespaces := e.Spaces(namespace)
	defer func() {
		clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), 90*time.Second)
		defer cancel()
		if err := env.Leave(clean, namespaces, false); err != nil {
			a.claim("leave "+what, func() error { return err })
		}
	}()
	if !a.claim("begin for "+what, func() error { return env.Begin(ctx, e, namespace) }) {
		return
	}
	var before []string
	if a.solution == 0 {
		// before the first check, which may replace pods
		if !a.claim("take the inventory", func() (err error) { before, err = a.inventory(ctx, e, namespaces); return err }) {
			return
		}
		if !a.unsolved(ctx, env, e, namespace) {
			return
		}
	}
	ok := a.claim(what, func() error {
		if err := env.Do(ctx, e, namespace, way.Steps); err != nil {
			return err
		}
		seen, err := env.Check(ctx, e, namespace)
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
		a.walks(ctx, e, namespaces, "solved")
		a.reset(ctx, env, e, namespaces, before)
	}
}

// judge returns an error if the check of an answer did not have the result that the answer must have.
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
	switch diagnosis.Misconception {
	case way.Misconception:
		return nil
	case "":
		return not("it shows no misconception, not its own; the goal: %s", why(seen.Verdict))
	default:
		return not("it shows misconception %q, not its own; the goal: %s", diagnosis.Misconception, why(seen.Verdict))
	}
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

// unsolved checks that the exercise is not passed at its start and shows no misconception there, and the commands that its text
// quotes there.
func (a *attempt) unsolved(ctx context.Context, env lesson.Environment, e course.Exercise, namespace string) bool {
	ok := a.claim("unsolved fails", func() error {
		seen, err := env.Check(ctx, e, namespace)
		if err != nil {
			return err
		}
		if seen.Verdict.Result == reach.Inconclusive {
			return fmt.Errorf("the goal could not be judged: %s", why(seen.Verdict))
		}
		if coach.Passed(e, nil, seen) {
			return not("it passes")
		}
		// if something is to be done, the right answers alone are not enough
		if first := e.Solutions[0]; len(first.Steps.Steps) > 0 && coach.Passed(e, first.Answers, seen) {
			return not("its goal is met, although nothing was done")
		}
		for n := 1; n <= course.Hints; n++ {
			if _, err := coach.Hint(e, n, seen); err != nil {
				return err
			}
		}
		switch d, err := coach.Diagnose(e, nil, seen); {
		case err != nil:
			return err
		case d.Misconception != "":
			return not("it shows misconception %s, although nothing was done", strings.Join(d.All(), " and "))
		}
		return nil
	})
	a.quotes(ctx, e, namespace, "start")
	a.walks(ctx, e, e.Spaces(namespace), "start")
	return ok
}

// quotes runs the commands that the text quotes in a state, and compares what they print.
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
			verdict := a.Runner.In(ctx, runner.Place{Namespace: namespace, Also: e.Spaces(namespace)[1:]}, part)
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

// reset checks that a reset restores the start, which had the inventory before.
func (a *attempt) reset(ctx context.Context, env lesson.Environment, e course.Exercise, namespaces, before []string) {
	a.claim("reset equals the start", func() error {
		if err := env.Leave(ctx, namespaces, true); err != nil {
			return err
		}
		if err := env.Begin(ctx, e, namespaces[0]); err != nil {
			return err
		}
		after, err := a.inventory(ctx, e, namespaces)
		if err != nil {
			return err
		}
		if len(before) == 0 {
			return errors.New("the inventory of the start is empty")
		}
		if difference := differ(before, after); difference != "" {
			return not("%s", difference)
		}
		return nil
	})
}

const letters = "bcdfghjkmnpqrstvwxz"

func suffix() string {
	text := make([]byte, 5)
	for i := range text {
		text[i] = letters[rand.IntN(len(letters))]
	}
	return string(text)
}
