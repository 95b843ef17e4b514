package learn

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/trace"
	"github.com/svclab/svclab/labs/cli/console"
	"github.com/svclab/svclab/labs/coach"
	"github.com/svclab/svclab/labs/course"
	"github.com/svclab/svclab/labs/lesson"
	"github.com/svclab/svclab/labs/progress"
)

// check asks the open questions, judges the goal, and prints the result. The command ends with the exit code of its verdict.
func (s *session) check(ctx context.Context) error {
	e, err := s.here(ctx)
	if err != nil {
		return err
	}
	if err := s.predicted(e); err != nil {
		return err
	}
	var seen coach.Seen
	err = s.spinner.run(coach.Checking, func() (err error) {
		seen, err = s.env.Check(ctx, e, lesson.Namespace(e))
		return err
	})
	if err != nil {
		return err
	}
	f, err := s.judge(e, seen)
	if err != nil {
		return err
	}
	if err := s.keep(e, f); err != nil {
		return err
	}
	s.report(e, f)
	if f.passed {
		s.debrief(ctx, e)
		s.progressed()
	} else {
		s.Blank()
		if e.Kind == course.Incident {
			s.Quiet(coach.ClockRuns, time.Since(s.progress.Exercises[e.ID].Started).Round(time.Second), time.Duration(e.Par))
		}
		s.suspect(ctx, e, f)
		next := coach.HelpNext
		if s.HTML { // the page has a button for the hint
			next = coach.Continue
		}
		s.Say(next, s.progress.Exercises[e.ID].Hints, course.Hints)
	}
	if err := s.Done(); err != nil {
		return err
	}
	return console.Judged(f.result())
}

// predicted asks for the predictions that are not right yet. It is an error if one is still missing afterwards.
func (s *session) predicted(e course.Exercise) error {
	if err := s.predict(e); err != nil {
		return err
	}
	return s.unanswered(e)
}

// unanswered returns an error for the first prediction that is missing.
func (s *session) unanswered(e course.Exercise) error {
	for _, q := range e.Questions {
		if s.progress.Exercises[e.ID].Answers[q.ID] == "" {
			return errors.New(coach.Say(s.Language, coach.NoAnswer, q.ID, q.ID, strings.Join(q.Options, "|")))
		}
	}
	return nil
}

// finding is the result of a check.
type finding struct {
	before reach.Verdict
	// idle: the learner asked for a check before, and has changed nothing since.
	idle      bool
	seen      coach.Seen
	diagnosis coach.Diagnosis
	passed    bool
}

func (f finding) result() reach.Result {
	switch {
	case f.passed:
		return reach.Pass
	case f.seen.Verdict.Result == reach.Pass:
		return reach.Fail // the goal is reached, but a prediction is wrong
	}
	return f.seen.Verdict.Result
}

// same reports whether two checks have the same result.
func (f finding) same(other finding) bool {
	return f.passed == other.passed && f.diagnosis == other.diagnosis && coach.Same(f.seen.Verdict, other.seen.Verdict)
}

// judge returns the finding of what a check observed.
func (s *session) judge(e course.Exercise, seen coach.Seen) (finding, error) {
	answers, last := s.progress.Exercises[e.ID].Answers, s.lastSeen(e.ID)
	seen.Untouched = last.Start != "" && last.Start == seen.Hand
	diagnosis, err := coach.Diagnose(e, answers, seen)
	return finding{before: last.Verdict, idle: last.Checked && last.Hand == seen.Hand, seen: seen, diagnosis: diagnosis,
		passed: coach.Passed(e, answers, seen)}, err
}

// keep stores the result of a check.
func (s *session) keep(e course.Exercise, f finding) error {
	last := s.lastSeen(e.ID)
	last.Verdict, last.Hand, last.Checked = f.seen.Verdict, f.seen.Hand, true
	if err := s.keepSeen(e.ID, last); err != nil {
		return err
	}
	return s.change(e.ID, func(x *progress.Exercise) {
		x.Checks++
		x.Saw(f.diagnosis.All()...)
		x.Checked, x.Shows = time.Now().UTC().Truncate(time.Second), f.diagnosis.Misconception
		if f.passed && x.Passed.IsZero() {
			x.Passed = x.Checked
		}
	})
}

// report prints the result of a check: the tables and differences, then the misconceptions. Reasons name the fault, so they come
// only after a hint, or once the exercise was passed.
func (s *session) report(e course.Exercise, f finding) {
	why := s.explains(e)
	s.Feedback(e, f.before, f.seen, why)
	if !why && f.seen.Verdict.Result == reach.Fail {
		s.Quiet(coach.WhyLater)
	}
	if len(e.Questions) > 0 {
		id := coach.PredictOK
		if f.diagnosis.Question != "" {
			id = coach.PredictBad
		}
		s.Blank()
		s.Say(id)
		if id == coach.PredictBad && s.HTML { // the command line asks the question again
			s.Say(coach.PredictNew, e.Say(s.Language, "question/"+f.diagnosis.Question))
		}
	}
	for _, id := range f.diagnosis.All() {
		s.Blank()
		s.Markdown(e.Say(s.Language, "misconception/"+id))
	}
}

// explains reports whether the learner may read why something is so: see report.
func (s *session) explains(e course.Exercise) bool {
	x := s.progress.Exercises[e.ID]
	return x.Help() > 0 || !x.Passed.IsZero()
}

// suspect prints what may be wrong besides the answer: objects of the exercise are missing or, if the learner has changed nothing
// in it, the learner's kubectl uses another cluster.
func (s *session) suspect(ctx context.Context, e course.Exercise, f finding) {
	if f.seen.Verdict.Result == reach.Pass {
		return
	}
	s.missed(ctx, e)
	same := f.idle && coach.Same(f.before, f.seen.Verdict)
	if same {
		s.Quiet(coach.SameAsEver)
	}
	if wired := os.Getenv("KUBECONFIG"); !s.HTML && (same || f.seen.Untouched) && wired != s.kubeconfigFile() {
		s.Say(coach.OtherWire)
		s.wiring()
	}
}

// missed prints which objects of the exercise are missing.
func (s *session) missed(ctx context.Context, e course.Exercise) {
	if lost, err := s.env.Lost(ctx, e, lesson.Namespace(e)); err == nil && len(lost) > 0 {
		s.Say(coach.Lost, strings.Join(lost, ", "))
	}
}

// debrief prints what the exercise teaches.
func (s *session) debrief(ctx context.Context, e course.Exercise) {
	s.Blank()
	title := coach.Debrief
	if e.Kind == course.Incident {
		title = coach.PostMortem
	}
	s.Head(coach.Say(s.Language, title))
	s.scored(e)
	s.firsts(e)
	s.Markdown(e.Say(s.Language, "debrief"))
	s.Blank()
	s.Say(coach.Packet, e.Say(s.Language, "packet"))
	s.Blank()
	s.walked(ctx, e)
}

// walked prints the short trace of each question about hops. The question is answered by then. Without a trace the section packet
// stands alone.
func (s *session) walked(ctx context.Context, e course.Exercise) {
	for _, q := range e.Questions {
		if q.Walk == nil || s.env.walk == nil {
			continue
		}
		var text strings.Builder
		t, err := s.env.walk(ctx, e.Spaces(lesson.Namespace(e)), q.Walk.From, q.Walk.To)
		if err == nil {
			err = trace.Text(&text, t, trace.Short, s.Style.Plain)
		}
		if err != nil {
			s.Quiet(coach.NoTrace, err)
			continue
		}
		s.Say(coach.Traced)
		s.code(strings.TrimRight(text.String(), "\n"))
		s.Blank()
	}
}

// scored prints how long an incident took, and its score.
func (s *session) scored(e course.Exercise) {
	if e.Kind != course.Incident {
		return
	}
	x, par := s.progress.Exercises[e.ID], time.Duration(e.Par)
	took := x.Took().Round(time.Second)
	if x.Solution {
		s.Say(coach.Unscored, took)
	} else {
		s.Say(coach.Scored, took, x.Help(), x.Score(par), progress.FullScore, par, progress.HintCosts, progress.MinuteCost)
	}
	s.Blank()
}

// firsts prints what the learner predicted first.
func (s *session) firsts(e course.Exercise) {
	for _, q := range e.Questions {
		first := s.progress.Exercises[e.ID].First[q.ID]
		option := func(id string) string { return e.Say(s.Language, course.OptionID(q.ID, id)) }
		switch {
		case first == q.Right:
			s.Say(coach.FirstRight, option(first))
		case first != "":
			s.Say(coach.FirstWrong, option(first), option(q.Right))
		}
	}
	if len(e.Questions) > 0 {
		s.Blank()
	}
}

// progressed prints how many exercises are passed, and how to continue.
func (s *session) progressed() {
	done, all := s.passed()
	s.Quiet(coach.PassedOf, done, all)
	if done == all {
		s.Say(coach.AllDone, all)
		return
	}
	if !s.HTML { // the page has a button for it
		s.Say(coach.GoOn)
	}
}

// predict takes the answers given by --answer, then prints the questions that have no right answer yet and, at a terminal, reads the
// answers. At no terminal a question that has an answer is not repeated.
func (s *session) predict(e course.Exercise) error {
	if err := s.takeAnswers(e); err != nil {
		return err
	}
	for _, q := range e.Questions {
		if answer := s.progress.Exercises[e.ID].Answers[q.ID]; answer == q.Right || answer != "" && !s.interactive {
			continue
		}
		s.Blank()
		s.question(e, q)
		if !s.interactive {
			continue
		}
		option, err := s.pick(q)
		if err != nil {
			return err
		}
		if err := s.answer(e, q, option); err != nil {
			return err
		}
	}
	return s.Done()
}

// question prints a question with its options.
func (s *session) question(e course.Exercise, q course.Question) {
	s.Say(coach.Question, e.Say(s.Language, "question/"+q.ID))
	for i, option := range q.Options {
		text := e.Say(s.Language, course.OptionID(q.ID, option))
		if !s.interactive {
			text += "  [--answer " + q.ID + "=" + option + "]"
		}
		s.Field(fmt.Sprintf("  %d)", i+1), text)
	}
}

// pick reads the number of an option.
func (s *session) pick(q course.Question) (string, error) {
	for {
		line, err := s.ask(coach.WhichOne, len(q.Options))
		if err != nil {
			return "", errors.New(coach.Say(s.Language, coach.NoAnswer, q.ID, q.ID, strings.Join(q.Options, "|")))
		}
		if n, err := strconv.Atoi(line); err == nil && n >= 1 && n <= len(q.Options) {
			return q.Options[n-1], nil
		}
		s.Say(coach.NotAnOpt, line, len(q.Options))
	}
}

// takeAnswers stores the answers that were given as flags. A second call does nothing.
func (s *session) takeAnswers(e course.Exercise) error {
	if err := s.checkAnswers(e); err != nil {
		return err
	}
	for _, given := range s.flags.answers {
		id, option, _ := strings.Cut(given, "=")
		q, _ := e.Question(id)
		if err := s.answer(e, q, option); err != nil {
			return err
		}
	}
	s.flags.answers = nil
	return nil
}

// checkAnswers returns an error for an answer given as a flag that is no answer to a question of the exercise.
func (s *session) checkAnswers(e course.Exercise) error {
	for _, given := range s.flags.answers {
		id, option, _ := strings.Cut(given, "=")
		q, known := e.Question(id)
		if _, wrong := q.Wrong[option]; !known || option != q.Right && !wrong {
			var all []string
			for _, q := range e.Questions {
				all = append(all, q.ID+"="+strings.Join(q.Options, "|"))
			}
			return errors.New(coach.Say(s.Language, coach.BadAnswer, given, cmp.Or(strings.Join(all, ", "), "-")))
		}
	}
	return nil
}

func (s *session) answer(e course.Exercise, q course.Question, option string) error {
	return s.change(e.ID, func(x *progress.Exercise) {
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
