package cli

import (
	"context"
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/svclab/svclab/e2e/scenario"
	"github.com/svclab/svclab/labs/coach"
	"github.com/svclab/svclab/labs/course"
	"github.com/svclab/svclab/labs/lesson"
	"github.com/svclab/svclab/labs/progress"
)

// hint shows the next hint, or the one with that number if it was shown before or is the next.
func (d *desk) hint(ctx context.Context, wanted string) error {
	name, err := d.current()
	if err != nil {
		return err
	}
	e, err := d.load(name, course.Sample())
	if err != nil {
		return err
	}
	shown := d.progress.Exercises[e.ID].Hints
	n := min(shown+1, course.Hints)
	if wanted != "" {
		if n, err = strconv.Atoi(wanted); err != nil || n < 1 || n > course.Hints {
			return errors.New(coach.Say(d.Language, coach.NoSuchHint, wanted, course.Hints))
		}
	}
	seen := coach.Seen{Verdict: d.lastSeen(e.ID)}
	if slices.ContainsFunc(e.Variants, func(v course.Variant) bool { return v.Hint == n }) {
		if e, err = d.here(ctx); err != nil {
			return err
		}
		if seen.Objects, err = d.room.Look(ctx, e, lesson.Namespace(e)); err != nil {
			return err
		}
	}
	id, err := coach.Hint(e, n, seen)
	if err != nil {
		return err
	}
	if err := d.change(e.ID, func(x *progress.Exercise) { x.Hints = max(x.Hints, n) }); err != nil {
		return err
	}
	d.Head(coach.Say(d.Language, coach.HintHead, n, course.Hints))
	d.Markdown(e.Say(d.Language, id))
	d.Blank()
	if left := course.Hints - max(shown, n); left > 0 {
		d.Quiet(coach.HintsLeft, left)
	} else {
		d.Quiet(coach.NoMoreHints)
	}
	return d.Done()
}

// solution shows the solutions: after passing, or if the learner says so.
func (d *desk) solution() error {
	name, err := d.current()
	if err != nil {
		return err
	}
	values := course.Sample()
	if d.room != nil {
		values = d.room.values
	}
	e, err := d.load(name, values)
	if err != nil {
		return err
	}
	if !d.progress.Done(e.ID) && !d.flags.yes {
		if !d.lively {
			return errors.New(coach.Say(d.Language, coach.SolutionKept) + "; " + coach.Say(d.Language, coach.NeedTerminal))
		}
		answer, err := d.ask(coach.SolutionAsk)
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if !agreed(answer) {
			d.Say(coach.SolutionKept)
			return d.Done()
		}
	}
	return d.reveal(e)
}

// reveal shows the solutions and keeps that they were seen, if that was before passing.
func (d *desk) reveal(e course.Exercise) error {
	if err := d.change(e.ID, func(x *progress.Exercise) { x.Solution = x.Solution || x.Passed.IsZero() }); err != nil {
		return err
	}
	d.Head(coach.Say(d.Language, coach.SolutionHead, e.ID))
	for i, way := range e.Solutions {
		if len(e.Solutions) > 1 {
			d.Blank()
			d.Say(coach.SolutionWay, i+1)
		}
		for _, q := range e.Questions {
			d.Say(coach.SolutionPick, q.ID, e.Say(d.Language, course.OptionID(q.ID, way.Answers[q.ID])))
		}
		for _, step := range way.Steps.Steps {
			d.way(way, step)
		}
	}
	return d.Done()
}

// way shows what a step of a solution does, as a learner would do it.
func (d *desk) way(way course.Answer, step scenario.Step) {
	switch {
	case step.Run != nil:
		d.Markdown("```\n$ " + strings.TrimSpace(step.Run.Command) + "\n```")
	case step.Apply != nil:
		for _, name := range step.Apply {
			d.Say(coach.SolutionFile, name)
			if data, own := way.Files[name]; own {
				d.Markdown("```\n" + strings.TrimSpace(data) + "\n```")
			}
		}
	case step.Patch != nil:
		ref, namespace := step.Patch.Object, ""
		if ref.Namespace != "" {
			namespace = " -n " + ref.Namespace
		}
		kind := step.Patch.Type
		if kind == "" {
			kind = "merge"
		}
		body, err := yaml.YAMLToJSON(step.Patch.Body)
		if err != nil {
			body = step.Patch.Body
		}
		d.Markdown("```\n$ kubectl patch " + ref.Kind + " " + ref.Name + namespace + " --type=" + kind + " -p '" + string(body) + "'\n```")
	case step.Delete != nil:
		for _, ref := range step.Delete {
			d.Markdown("```\n$ kubectl delete " + ref.Kind + " " + ref.Name + "\n```")
		}
	case step.Scale != nil:
		d.Markdown("```\n$ kubectl scale " + step.Scale.Object.Kind + " " + step.Scale.Object.Name + " --replicas=" + strconv.Itoa(int(step.Scale.Replicas)) + "\n```")
	case step.Restore != nil || step.Withhold != nil || step.ReplacePods != nil:
		d.Raw("    " + step.Name)
	}
}
