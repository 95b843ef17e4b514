package cli

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

// goOn goes on where the learner was: with the exercise under way, or the next.
func (d *desk) goOn(ctx context.Context) error {
	wanted := d.progress.Current
	if wanted == "" || d.progress.Done(wanted) {
		name, err := d.following(wanted)
		if err != nil {
			return err
		}
		if name == "" {
			return d.allDone()
		}
		wanted = name
	}
	return d.start(ctx, wanted)
}

// allDone says that no exercise is left.
func (d *desk) allDone() error {
	_, all := d.passed()
	d.Say(coach.AllDone, all)
	return d.Done()
}

// start begins an exercise, or goes on with one that was begun.
func (d *desk) start(ctx context.Context, wanted string) error {
	name, err := d.chosen(wanted)
	if err != nil {
		return err
	}
	if name == "" {
		return d.allDone()
	}
	e, begun, err := d.open(ctx, name)
	if err != nil {
		return err
	}
	if lacks, err := d.room.Lacks(ctx, e); err != nil {
		return d.repair(coach.ClusterHalf, err)
	} else if lacks != "" {
		return errors.New(coach.Say(d.Language, coach.Unsuited, e.ID, lacks))
	}
	missing, err := d.room.Missing(ctx, e, lesson.Namespace(e))
	if err != nil {
		return err
	}
	resumed := d.progress.Current == e.ID && missing == "" && !d.progress.Done(e.ID)
	if resumed {
		err = d.sound(ctx, e)
	} else {
		err = d.begin(ctx, e, begun, false)
	}
	if err != nil {
		return err
	}
	return errors.Join(d.introduce(e, resumed), d.predict(e))
}

// open enters the room with an exercise. begun are the namespaces of exercises that are there.
func (d *desk) open(ctx context.Context, name string) (e course.Exercise, begun []string, err error) {
	if _, err := d.load(name, course.Sample()); err != nil { // before anything is changed
		return e, nil, err
	}
	if begun, err = d.enterRoom(ctx); err != nil {
		return e, nil, err
	}
	e, err = d.load(name, d.room.values)
	return e, begun, err
}

// chosen is the folder of the exercise that is wanted; empty: the one under way, or the first that is not passed.
func (d *desk) chosen(wanted string) (string, error) {
	switch {
	case wanted != "":
		return d.source.Find(wanted)
	case d.progress.Current != "" && !d.progress.Done(d.progress.Current):
		return d.source.Find(d.progress.Current)
	}
	return d.following("")
}

// begin sets an exercise up anew, or again. What there is of exercises is removed before.
func (d *desk) begin(ctx context.Context, e course.Exercise, begun []string, again bool) error {
	if err := d.update(func(p *progress.Progress) {
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
	if err := d.forgetSeen(e.ID); err != nil {
		return err
	}
	err := d.clock.run(coach.Clearing, func() error { return d.room.Leave(ctx, own(begun), true) })
	if err != nil {
		return err
	}
	if err := d.clock.run(coach.Setting, func() error { return d.room.Begin(ctx, e, lesson.Namespace(e)) }); err != nil {
		return err
	}
	if err := errors.Join(d.wire(e), d.handOut(e, true)); err != nil {
		return err
	}
	if e.Kind == course.Predict {
		return nil // what there is to see is the answer
	}
	return d.clock.run(coach.Checking, func() error {
		seen, err := d.room.Check(ctx, e, lesson.Namespace(e))
		if err != nil {
			return err
		}
		return d.keepSeen(e.ID, seen.Verdict)
	})
}

// own are the namespaces that are a learner's, NN or NN-NAME behind the prefix: those of a proof under way are not.
func own(begun []string) []string {
	return slices.DeleteFunc(slices.Clone(begun), func(name string) bool {
		rest, ok := strings.CutPrefix(name, "learn-")
		return !ok || isProof(rest)
	})
}

// isProof reports whether a namespace's name behind "learn-" is one that a proof made: NN-xxxxx, or with more behind.
func isProof(rest string) bool {
	parts := strings.Split(rest, "-")
	return len(parts) > 1 && len(parts[1]) == 5 && !strings.ContainsAny(parts[1], "aeiouy0123456789")
}

// introduce shows the exercise: its goal, what answers now, and how to go on.
func (d *desk) introduce(e course.Exercise, resumed bool) error {
	done, all := d.passed()
	d.Head(coach.Say(d.Language, coach.Heading, e.ID, coach.Say(d.Language, kindID(e.Kind)), e.Title(d.Language)))
	d.Quiet(coach.PassedOf, done, all)
	for _, id := range e.Prerequisites {
		if !d.progress.Done(id) {
			d.Quiet(coach.Prerequisite, id)
		}
	}
	if resumed {
		d.Quiet(coach.Resumed)
	}
	d.Blank()
	d.Markdown(e.Say(d.Language, "goal"))
	d.Blank()
	if len(e.Questions) > 0 && !resumed {
		d.Say(coach.Predict1st)
	}
	if seen := d.lastSeen(e.ID); !resumed && len(seen.Steps) > 0 {
		d.Start(seen)
		d.Blank()
	}
	if len(e.Files) > 0 {
		d.Say(coach.Files, d.workFolder(e))
	}
	if !hasKubectl() {
		d.Say(coach.NoKubectl, d.room.copyKubectl)
	}
	d.Say(coach.Wire)
	d.wiring()
	d.Say(coach.Then)
	return d.Done()
}

func kindID(k course.Kind) coach.ID {
	switch k {
	case course.Build:
		return coach.KindBuild
	case course.Fix:
		return coach.KindFix
	default:
		return coach.KindPredict
	}
}

// reset brings the exercise back to its start, and the cluster with it.
func (d *desk) reset(ctx context.Context) error {
	name, err := d.current()
	if err != nil {
		return err
	}
	e, begun, err := d.open(ctx, name)
	if err != nil {
		return err
	}
	if err := d.begin(ctx, e, begun, true); err != nil {
		return err
	}
	d.Say(coach.ResetDone)
	return d.introduce(e, false)
}

// next goes on to the next exercise that is not passed.
func (d *desk) next(ctx context.Context) error {
	at := d.progress.Current
	if at != "" && !d.progress.Done(at) {
		d.Quiet(coach.NotPassed, at)
	}
	name, err := d.following(at)
	if err != nil {
		return err
	}
	if name == "" {
		return d.allDone()
	}
	return d.start(ctx, name)
}
