package learn

import (
	"cmp"
	"context"
	"errors"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/svclab/svclab/e2e/cluster"
	"github.com/svclab/svclab/e2e/scenario"
	"github.com/svclab/svclab/labs/coach"
	"github.com/svclab/svclab/labs/course"
	"github.com/svclab/svclab/labs/lesson"
	"github.com/svclab/svclab/labs/progress"
)

// resume continues with the current exercise, or starts the next one if that is passed.
func (s *session) resume(ctx context.Context) error {
	return s.entered(s.continued(ctx))
}

// continued enters the current exercise, or the next one if that is passed: see advance.
func (s *session) continued(ctx context.Context) (e course.Exercise, resumed bool, err error) {
	at := s.progress.Current
	if at == "" || s.progress.Done(at) {
		return s.advance(ctx, at)
	}
	name, err := s.current()
	if err != nil {
		return e, false, err
	}
	return s.enter(ctx, name, false)
}

// advance enters the next exercise that is not passed: see following. It says which ones it leaves out because the cluster cannot
// run them. If there is none to enter, it says that too, and the exercise has no ID.
func (s *session) advance(ctx context.Context, at string) (e course.Exercise, resumed bool, err error) {
	var left []string
	for {
		name, err := s.following(at, left...)
		if err != nil {
			return course.Exercise{}, false, err
		}
		if name == "" {
			return course.Exercise{}, false, s.noneLeft(len(left))
		}
		e, resumed, err := s.enter(ctx, name, false)
		var unsuited *unsuitedError
		if !errors.As(err, &unsuited) {
			return e, resumed, err
		}
		s.Say(coach.LeftOut, unsuited.why)
		left = append(left, e.ID)
	}
}

// noneLeft says that no exercise is left, but for those that the cluster cannot run.
func (s *session) noneLeft(left int) error {
	switch done, all := s.passed(); left {
	case 0:
		s.Say(coach.AllDone, all)
	default:
		s.Say(coach.PassedOf, done, all)
	}
	return s.Done()
}

// entered introduces an exercise that was entered, unless there was none, and asks its questions.
func (s *session) entered(e course.Exercise, resumed bool, err error) error {
	if err != nil || e.ID == "" {
		return err
	}
	return errors.Join(s.introduce(e, resumed), s.predict(e))
}

// unsuitedError is the error of an exercise that the cluster cannot run. why says which and why; next is the command for the next one.
type unsuitedError struct {
	why, next string
}

func (e *unsuitedError) Error() string { return e.why + e.next }

// unsuited says why the cluster cannot run an exercise, and where it is known, how to get one that can. lacks is what it lacks.
func (s *session) unsuited(ctx context.Context, e course.Exercise, lacks string) error {
	// what lacks only this is a setting of svclab up, and is said in both languages
	only := func(needs scenario.Needs) bool {
		why, err := s.env.Lacks(ctx, course.Exercise{Needs: needs})
		return err == nil && why == lacks
	}
	other := func(variable, value string) string {
		up, start := s.command("up"), s.command("learn start "+e.ID)
		return "export SVCLAB_" + variable + "=" + value + " && " + otherCluster.ReplaceAllString(up+" && "+start, "")
	}
	switch needs := e.Needs; {
	case slices.Contains(needs.Features, scenario.DualStack) && only(scenario.Needs{Features: []scenario.Feature{scenario.DualStack}}):
		lacks = coach.Say(s.Language, coach.NeedsBoth, other("FAMILY", cluster.Dual))
	case len(needs.ProxyModes) > 0 && only(scenario.Needs{ProxyModes: needs.ProxyModes}):
		lacks = coach.Say(s.Language, coach.NeedsMode, needs.ProxyModes[0], other("MODE", needs.ProxyModes[0]))
	}
	return &unsuitedError{coach.Say(s.Language, coach.Unsuited, e.ID, lacks), coach.Say(s.Language, coach.UnsuitedNext, s.command("learn next"))}
}

// otherCluster are the flags that would ask for the cluster that is there.
var otherCluster = regexp.MustCompile(` --(family|mode)=[a-z0-9]+`)

// start starts an exercise, or continues one that was started and not passed.
func (s *session) start(ctx context.Context, wanted string) error {
	return s.entered(s.chosen(ctx, wanted))
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
		return e, false, s.unsuited(ctx, e, lacks)
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

// chosen enters the wanted exercise. If wanted is empty that is the current one, or else the first that is not passed.
func (s *session) chosen(ctx context.Context, wanted string) (e course.Exercise, resumed bool, err error) {
	if wanted == "" && (s.progress.Current == "" || s.progress.Done(s.progress.Current)) {
		return s.advance(ctx, "")
	}
	name, err := s.source.Find(cmp.Or(wanted, s.progress.Current))
	if err != nil {
		return e, false, err
	}
	return s.enter(ctx, name, false)
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
	return s.entered(s.advance(ctx, at))
}
