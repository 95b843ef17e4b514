// Package grade grades answers to exercises that learners wrote into files: it sets each exercise up on a cluster, does what the
// files say, and judges by the exercise's own check, as svclab learn check does. It knows no learner's progress, which a learner
// could edit.
package grade

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"time"

	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/runner"
	"github.com/svclab/svclab/e2e/scenario"
	"github.com/svclab/svclab/labs/coach"
	"github.com/svclab/svclab/labs/course"
	"github.com/svclab/svclab/labs/lesson"
)

// Grader grades on one cluster, in which no exercise is open.
type Grader struct {
	Source course.Source
	// Values are the cluster's values.
	Values course.Values
	// Environment is the cluster for one exercise.
	Environment func(e course.Exercise) Environment
	// Workers is how many exercises are graded at once.
	Workers int
}

// Environment is the part of a lesson.Environment that a Grader uses.
type Environment interface {
	Lacks(ctx context.Context, e course.Exercise) (string, error)
	Begin(ctx context.Context, e course.Exercise, namespace string) error
	Do(ctx context.Context, e course.Exercise, namespace string, steps course.Part) error
	Check(ctx context.Context, e course.Exercise, namespace string) (coach.Seen, error)
	Leave(ctx context.Context, namespaces []string, wait bool) error
}

var _ Environment = lesson.Environment{}

// Grade is the result of one exercise.
type Grade struct {
	Exercise course.Exercise
	// Result is Pass; Fail, also for an exercise without an answer; Inconclusive if it could not be judged; or Skipped if the
	// cluster cannot run it.
	Result reach.Result
	// Err says why it was not judged by its check; nil: it was.
	Err error
	// Answers are the predictions. Seen and Diagnosis are those of the check.
	Answers   map[string]string
	Seen      coach.Seen
	Diagnosis coach.Diagnosis
	Elapsed   time.Duration
}

// ErrNoAnswer is the error of an exercise for which the learner has written nothing.
var ErrNoAnswer = errors.New("there is no answer yet")

// leaveWithin bounds the removal of an exercise, also after an interrupt.
const leaveWithin = 2 * time.Minute

// Grade grades the answers in the folders names of files, and returns the results in that order. The error is that ctx ended, or
// that an exercise cannot be loaded.
func (g Grader) Grade(ctx context.Context, files fs.FS, names []string) ([]Grade, error) {
	grades, plans := make([]Grade, len(names)), make([]scenario.Scenario, len(names))
	for i, name := range names {
		values := g.Values
		values.Namespace = lesson.Namespace(course.Exercise{ID: course.IDOf(name)}) // as the learner's own, which commands name
		e, err := g.Source.Load(name, values)
		if err != nil {
			return nil, err
		}
		grades[i] = Grade{Exercise: e, Result: reach.Inconclusive, Err: errors.New("it was not graded")}
		plans[i] = scenario.Scenario{Name: name, Claims: e.Claims, Shares: e.Shares, Serial: e.Serial}
	}
	var mu sync.Mutex
	runner.Schedule(ctx, g.Workers, plans, func(i int) {
		mu.Lock()
		e := grades[i].Exercise
		mu.Unlock()
		began := time.Now()
		graded := g.one(ctx, e, files)
		graded.Exercise, graded.Elapsed = e, time.Since(began)
		mu.Lock()
		defer mu.Unlock()
		grades[i] = graded
	})
	if ctx.Err() != nil {
		return grades, fmt.Errorf("grade %d exercises: %w", len(names), context.Cause(ctx))
	}
	return grades, nil
}

// one grades an exercise.
func (g Grader) one(ctx context.Context, e course.Exercise, files fs.FS) (graded Grade) {
	end := func(result reach.Result, err error) Grade { return Grade{Result: result, Err: err} }
	own, err := fs.Sub(files, e.Name)
	if err != nil {
		return end(reach.Inconclusive, err)
	}
	answer, err := g.Source.Submission(e, own)
	switch {
	case err != nil:
		return end(reach.Fail, err)
	case answer.Empty():
		return end(reach.Fail, ErrNoAnswer)
	}
	env, namespace := g.Environment(e), lesson.Namespace(e)
	switch lacks, err := env.Lacks(ctx, e); {
	case err != nil:
		return end(reach.Inconclusive, err)
	case lacks != "":
		return end(reach.Skipped, fmt.Errorf("this cluster cannot run it: %s", lacks))
	}
	defer func() {
		clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveWithin)
		defer cancel()
		if err := env.Leave(clean, e.Spaces(namespace), true); err != nil { // the next exercise may meet what is left
			graded = end(reach.Inconclusive, errors.Join(graded.Err, err))
		}
	}()
	if err := env.Begin(ctx, e, namespace); err != nil {
		return end(reach.Inconclusive, err)
	}
	if err := env.Do(ctx, e, namespace, answer.Steps); err != nil {
		var step *lesson.StepError
		if errors.As(err, &step) && step.Result == reach.Fail {
			return end(reach.Fail, err) // the learner's command or manifest was refused
		}
		return end(reach.Inconclusive, err)
	}
	seen, err := env.Check(ctx, e, namespace)
	if err != nil {
		return end(reach.Inconclusive, err)
	}
	graded = Grade{Result: reach.Fail, Answers: answer.Answers, Seen: seen}
	switch {
	case coach.Passed(e, answer.Answers, seen):
		graded.Result = reach.Pass
	case seen.Verdict.Result == reach.Inconclusive:
		graded.Result = reach.Inconclusive
	}
	if graded.Diagnosis, err = coach.Diagnose(e, answer.Answers, seen); err != nil {
		return end(reach.Inconclusive, err)
	}
	return graded
}

// The result of a runner of GitHub Classroom's autograding, as autograding-grading-reporter v1 reads it: JSON in base64.
type (
	classroomResult struct {
		Version  int             `json:"version"`
		Status   string          `json:"status"`
		MaxScore int             `json:"max_score"`
		Tests    []classroomTest `json:"tests"`
	}
	classroomTest struct {
		Name     string `json:"name"`
		Status   string `json:"status"`
		Score    int    `json:"score"`
		Message  string `json:"message"`
		TestCode string `json:"test_code"`
		Filename string `json:"filename"`
		LineNo   int    `json:"line_no"`
		Duration int64  `json:"duration"` // milliseconds
	}
)

// Classroom returns grades as GitHub Classroom's reporter reads them. Each exercise that the cluster can run is worth one point.
func Classroom(grades []Grade) (string, error) {
	status := map[reach.Result]string{reach.Pass: "pass", reach.Fail: "fail", reach.Inconclusive: "error"}
	r := classroomResult{Version: 1, Tests: []classroomTest{}}
	worst := reach.Pass
	for _, g := range grades {
		if g.Result == reach.Skipped {
			continue
		}
		worst = reach.Worse(worst, g.Result)
		t := classroomTest{Name: g.Exercise.Name, Status: status[g.Result], Filename: g.Exercise.Name, Duration: g.Elapsed.Milliseconds(), Message: g.Diagnosis.Misconception}
		if g.Err != nil {
			t.Message = g.Err.Error()
		}
		if g.Result == reach.Pass {
			t.Score = 1
		}
		r.MaxScore++
		r.Tests = append(r.Tests, t)
	}
	r.Status = status[worst]
	data, err := json.Marshal(r)
	return base64.StdEncoding.EncodeToString(data), err
}
