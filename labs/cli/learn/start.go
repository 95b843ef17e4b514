package learn

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/svclab/svclab/labs/coach"
	"github.com/svclab/svclab/labs/course"
	"github.com/svclab/svclab/labs/lesson"
	"github.com/svclab/svclab/labs/progress"
)

// resume continues with the current exercise, or starts the next one if that is passed.
func (s *session) resume(ctx context.Context) error {
	name, err := s.continued()
	if err != nil {
		return err
	}
	if name == "" {
		return s.allDone()
	}
	return s.start(ctx, name)
}

// continued returns the current exercise, or the next one if that is passed. Empty: all are passed.
func (s *session) continued() (string, error) {
	if at := s.progress.Current; at == "" || s.progress.Done(at) {
		return s.following(at)
	}
	return s.current()
}

// allDone says that no exercise is left.
func (s *session) allDone() error {
	_, all := s.passed()
	s.Say(coach.AllDone, all)
	return s.Done()
}

// start starts an exercise, or continues one that was started and not passed.
func (s *session) start(ctx context.Context, wanted string) error {
	name, err := s.chosen(wanted)
	if err != nil {
		return err
	}
	if name == "" {
		return s.allDone()
	}
	e, resumed, err := s.enter(ctx, name, false)
	if err != nil {
		return err
	}
	return errors.Join(s.introduce(e, resumed), s.predict(e))
}

// reset sets the current exercise up again, and restores what belongs to the cluster.
func (s *session) reset(ctx context.Context) error {
	name, err := s.current()
	if err != nil {
		return err
	}
	e, _, err := s.enter(ctx, name, true)
	if err != nil {
		return err
	}
	s.Say(coach.ResetDone)
	return s.introduce(e, false)
}

// stop removes every exercise from the cluster. The progress stays.
func (s *session) stop(ctx context.Context) error {
	begun, err := s.connect(ctx)
	if err != nil {
		return err
	}
	if err := s.spinner.run(coach.Clearing, func() error { return s.env.Leave(ctx, own(begun), true) }); err != nil {
		return err
	}
	s.Say(coach.Stopped)
	return s.Done()
}

// enter sets an exercise up in the cluster. Without again, the current exercise stays as it is, and resumed is true.
func (s *session) enter(ctx context.Context, name string, again bool) (e course.Exercise, resumed bool, err error) {
	e, begun, err := s.open(ctx, name)
	if err != nil {
		return e, false, err
	}
	if lacks, err := s.env.Lacks(ctx, e); err != nil {
		return e, false, s.repair(coach.ClusterHalf, err)
	} else if lacks != "" {
		return e, false, errors.New(coach.Say(s.Language, coach.Unsuited, e.ID, lacks))
	}
	missing, err := s.env.Missing(ctx, e, lesson.Namespace(e))
	if err != nil {
		return e, false, err
	}
	if !again && s.progress.Current == e.ID && missing == "" && !s.progress.Done(e.ID) {
		return e, true, s.sound(ctx, e)
	}
	return e, false, s.begin(ctx, e, begun, again)
}

// open connects to the cluster and loads an exercise for it. begun are the namespaces of exercises in the cluster.
func (s *session) open(ctx context.Context, name string) (e course.Exercise, begun []string, err error) {
	if e, err = s.load(name, course.Sample()); err != nil { // before a cluster may be brought up
		return e, nil, err
	}
	if err := s.checkAnswers(e); err != nil {
		return e, nil, err
	}
	if begun, err = s.connect(ctx); err != nil {
		return e, nil, err
	}
	if err := s.keepValues(s.env.values); err != nil {
		return e, nil, err
	}
	e, err = s.load(name, s.env.values)
	return e, begun, err
}

// chosen returns the folder of the wanted exercise. If wanted is empty that is the current one, or else the first that is not passed.
func (s *session) chosen(wanted string) (string, error) {
	switch {
	case wanted != "":
		return s.source.Find(wanted)
	case s.progress.Current != "" && !s.progress.Done(s.progress.Current):
		return s.source.Find(s.progress.Current)
	}
	return s.following("")
}

// begin sets an exercise up, again if it was started before. It first removes every exercise from the cluster.
func (s *session) begin(ctx context.Context, e course.Exercise, begun []string, again bool) error {
	if err := s.update(func(p *progress.Progress) {
		p.Current = e.ID
		p.Change(e.ID, func(x *progress.Exercise) {
			if x.Started.IsZero() {
				x.Started = time.Now().UTC().Truncate(time.Second)
			}
			if again {
				x.Resets++
			}
		})
	}); err != nil {
		return err
	}
	if err := s.forgetSeen(e.ID); err != nil {
		return err
	}
	err := s.spinner.run(coach.Clearing, func() error { return s.env.Leave(ctx, own(begun), true) })
	if err != nil {
		return err
	}
	if err := s.spinner.run(coach.Setting, func() error { return s.env.Begin(ctx, e, lesson.Namespace(e)) }); err != nil {
		return err
	}
	if err := errors.Join(s.wire(e), s.handOut(e, true)); err != nil {
		return err
	}
	return s.spinner.run(coach.Checking, func() (err error) {
		var first sighting
		if first.Start, err = s.env.Hand(ctx, e, lesson.Namespace(e)); err != nil {
			return err
		}
		if e.Kind != course.Predict { // for that a table would show the answer
			seen, err := s.env.Check(ctx, e, lesson.Namespace(e))
			if err != nil {
				return err
			}
			first.Verdict = seen.Verdict
		}
		return s.keepSeen(e.ID, first)
	})
}

// own returns the namespaces in which a learner did exercises. Those of svclab learn prove have another prefix.
func own(begun []string) []string {
	return slices.DeleteFunc(slices.Clone(begun), func(name string) bool { return !strings.HasPrefix(name, lesson.Prefix) })
}

// introduce prints the exercise: its goal, what answers now, and how to continue.
func (s *session) introduce(e course.Exercise, resumed bool) error {
	done, all := s.passed()
	s.Head(s.heading(e))
	s.Quiet(coach.PassedOf, done, all)
	s.membership()
	for _, id := range e.Prerequisites {
		if !s.progress.Done(id) {
			s.Quiet(coach.Prerequisite, id)
		}
	}
	if resumed {
		s.Quiet(coach.Resumed)
	}
	s.Blank()
	s.Markdown(e.Say(s.Language, "goal"))
	s.Blank()
	if len(e.Questions) > 0 && !resumed {
		s.Say(coach.Predict1st)
	}
	if seen := s.lastSeen(e.ID).Verdict; !resumed && len(seen.Steps) > 0 {
		s.Start(seen)
		s.Blank()
	}
	if len(e.Files) > 0 {
		s.Say(coach.Files, s.workFolder(e))
	}
	if !hasKubectl() {
		s.Say(coach.NoKubectl, s.env.copyKubectl)
	}
	s.Say(coach.Wire)
	s.wiring()
	s.Say(coach.Then)
	return s.Done()
}

// heading is the exercise's number, kind and title.
func (s *session) heading(e course.Exercise) string {
	return coach.Say(s.Language, coach.Heading, e.ID, coach.Say(s.Language, kindID(e.Kind)), e.Title(s.Language))
}

func kindID(k course.Kind) coach.Message {
	switch k {
	case course.Build:
		return coach.KindBuild
	case course.Fix:
		return coach.KindFix
	case course.Incident:
		return coach.KindIncident
	default:
		return coach.KindPredict
	}
}

// next starts the next exercise that is not passed.
func (s *session) next(ctx context.Context) error {
	at := s.progress.Current
	if at != "" && !s.progress.Done(at) {
		s.Quiet(coach.NotPassed, at)
	}
	name, err := s.following(at)
	if err != nil {
		return err
	}
	if name == "" {
		return s.allDone()
	}
	return s.start(ctx, name)
}
