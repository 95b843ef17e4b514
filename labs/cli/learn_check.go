package cli

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/labs/coach"
	"github.com/svclab/svclab/labs/course"
	"github.com/svclab/svclab/labs/lesson"
	"github.com/svclab/svclab/labs/progress"
)

// check asks what is not predicted yet, judges, and tells what was found. Its verdict is the command's.
func (d *desk) check(ctx context.Context) error {
	e, err := d.here(ctx)
	if err != nil {
		return err
	}
	if err := d.predicted(e); err != nil {
		return err
	}
	var seen coach.Seen
	err = d.clock.run(coach.Checking, func() (err error) {
		seen, err = d.room.Check(ctx, e, lesson.Namespace(e))
		return err
	})
	if err != nil {
		return err
	}
	f, err := d.judge(e, seen)
	if err != nil {
		return err
	}
	if err := d.keep(e, f); err != nil {
		return err
	}
	d.tell(e, f)
	if f.passed {
		d.debrief(e)
		d.progressed()
	} else {
		d.Blank()
		d.suspect(ctx, e, f)
		d.Say(coach.HelpNext, d.progress.Exercises[e.ID].Hints, course.Hints)
	}
	if err := d.Done(); err != nil {
		return err
	}
	return judged(f.result())
}

// predicted asks for the predictions that are not right yet. None must be missing then.
func (d *desk) predicted(e course.Exercise) error {
	if err := d.predict(e); err != nil {
		return err
	}
	return d.unanswered(e)
}

// unanswered is the error of a prediction that is missing.
func (d *desk) unanswered(e course.Exercise) error {
	for _, q := range e.Questions {
		if d.progress.Exercises[e.ID].Answers[q.ID] == "" {
			return errors.New(coach.Say(d.Language, coach.NoAnswer, q.ID, q.ID, strings.Join(q.Options, "|")))
		}
	}
	return nil
}

// finding is what came of a check.
type finding struct {
	before    reach.Verdict
	seen      coach.Seen
	diagnosis coach.Diagnosis
	passed    bool
}

func (f finding) result() reach.Result {
	switch {
	case f.passed:
		return reach.Pass
	case f.seen.Verdict.Result == reach.Pass:
		return reach.Fail // a prediction is wrong
	}
	return f.seen.Verdict.Result
}

// same reports whether a check found what another one did.
func (f finding) same(other finding) bool {
	return f.passed == other.passed && f.diagnosis == other.diagnosis && coach.Same(f.seen.Verdict, other.seen.Verdict)
}

// judge makes a finding of what a check saw.
func (d *desk) judge(e course.Exercise, seen coach.Seen) (finding, error) {
	answers := d.progress.Exercises[e.ID].Answers
	diagnosis, err := coach.Diagnose(e, answers, seen)
	return finding{before: d.lastSeen(e.ID), seen: seen, diagnosis: diagnosis, passed: coach.Passed(e, answers, seen)}, err
}

// keep keeps what came of a check.
func (d *desk) keep(e course.Exercise, f finding) error {
	if err := d.keepSeen(e.ID, f.seen.Verdict); err != nil {
		return err
	}
	return d.change(e.ID, func(x *progress.Exercise) {
		x.Checks++
		x.Saw(f.diagnosis.Misconception)
		if f.passed && x.Passed.IsZero() {
			x.Passed = time.Now().UTC().Truncate(time.Second)
		}
	})
}

// tell says what a check found: the tables, the differences, then the misconception.
func (d *desk) tell(e course.Exercise, f finding) {
	d.Feedback(e, f.before, f.seen)
	if len(e.Questions) > 0 {
		id := coach.PredictOK
		if f.diagnosis.Question != "" {
			id = coach.PredictBad
		}
		d.Blank()
		d.Say(id)
	}
	if f.diagnosis.Misconception != "" {
		d.Blank()
		d.Markdown(e.Say(d.Language, "misconception/"+f.diagnosis.Misconception))
	}
}

// suspect says what else may be the matter when a check found what the one before did: kubectl goes elsewhere.
func (d *desk) suspect(ctx context.Context, e course.Exercise, f finding) {
	if f.seen.Verdict.Result == reach.Pass {
		return
	}
	d.missed(ctx, e)
	if !coach.Same(f.before, f.seen.Verdict) {
		return
	}
	d.Quiet(coach.SameAsEver)
	if wired := os.Getenv("KUBECONFIG"); wired != d.kubeconfigFile() {
		d.Say(coach.OtherWire)
		d.wiring()
	}
}

// missed says what of the exercise is gone.
func (d *desk) missed(ctx context.Context, e course.Exercise) {
	if lost, err := d.room.Lost(ctx, e, lesson.Namespace(e)); err == nil && len(lost) > 0 {
		d.Say(coach.Lost, strings.Join(lost, ", "))
	}
}

// debrief says what there was to learn.
func (d *desk) debrief(e course.Exercise) {
	d.Blank()
	d.Head(coach.Say(d.Language, coach.Debrief))
	d.Markdown(e.Say(d.Language, "debrief"))
	d.Blank()
	d.Say(coach.Packet, e.Say(d.Language, "packet"))
	d.Blank()
}

// progressed says how far the learner has come.
func (d *desk) progressed() {
	done, all := d.passed()
	d.Quiet(coach.PassedOf, done, all)
	if done == all {
		d.Say(coach.AllDone, all)
		return
	}
	d.Say(coach.GoOn)
}

// predict asks the questions that are not answered right yet: by --answer, or at a terminal.
func (d *desk) predict(e course.Exercise) error {
	if err := d.takeAnswers(e); err != nil {
		return err
	}
	for _, q := range e.Questions {
		if answer := d.progress.Exercises[e.ID].Answers[q.ID]; answer == q.Right || answer != "" && !d.lively {
			continue
		}
		d.Blank()
		d.question(e, q)
		if !d.lively {
			continue
		}
		option, err := d.pick(q)
		if err != nil {
			return err
		}
		if err := d.answer(e, q, option); err != nil {
			return err
		}
	}
	return d.Done()
}

// question shows a question with its options.
func (d *desk) question(e course.Exercise, q course.Question) {
	d.Say(coach.Question, e.Say(d.Language, "question/"+q.ID))
	for i, option := range q.Options {
		text := e.Say(d.Language, course.OptionID(q.ID, option))
		if !d.lively {
			text += "  [--answer " + q.ID + "=" + option + "]"
		}
		d.Field(fmt.Sprintf("  %d)", i+1), text)
	}
}

// pick reads the number of an option.
func (d *desk) pick(q course.Question) (string, error) {
	for {
		line, err := d.ask(coach.WhichOne, len(q.Options))
		if err != nil {
			return "", errors.New(coach.Say(d.Language, coach.NoAnswer, q.ID, q.ID, strings.Join(q.Options, "|")))
		}
		if n, err := strconv.Atoi(line); err == nil && n >= 1 && n <= len(q.Options) {
			return q.Options[n-1], nil
		}
		d.Say(coach.NotAnOpt, line, len(q.Options))
	}
}

// takeAnswers takes the answers that were given as flags, once.
func (d *desk) takeAnswers(e course.Exercise) error {
	for _, given := range d.flags.answers {
		id, option, _ := strings.Cut(given, "=")
		q, known := e.Question(id)
		if _, wrong := q.Wrong[option]; !known || option != q.Right && !wrong {
			var all []string
			for _, q := range e.Questions {
				all = append(all, q.ID+"="+strings.Join(q.Options, "|"))
			}
			return errors.New(coach.Say(d.Language, coach.BadAnswer, given, strings.Join(all, ", ")))
		}
		if err := d.answer(e, q, option); err != nil {
			return err
		}
	}
	d.flags.answers = nil
	return nil
}

func (d *desk) answer(e course.Exercise, q course.Question, option string) error {
	return d.change(e.ID, func(x *progress.Exercise) {
		x.Answers = with(x.Answers, q.ID, option)
		if _, known := x.First[q.ID]; !known {
			x.First = with(x.First, q.ID, option)
		}
	})
}

func with(m map[string]string, key, value string) map[string]string {
	out := maps.Clone(m)
	if out == nil {
		out = map[string]string{}
	}
	out[key] = value
	return out
}
