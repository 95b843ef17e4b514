package learn

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"al.essio.dev/pkg/shellescape"
	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"github.com/svclab/svclab/e2e/scenario"
	"github.com/svclab/svclab/e2e/steps"
	"github.com/svclab/svclab/labs/cli/console"
	"github.com/svclab/svclab/labs/coach"
	"github.com/svclab/svclab/labs/course"
	"github.com/svclab/svclab/labs/lesson"
	"github.com/svclab/svclab/labs/progress"
)

// hint prints the next hint, or the one with the wanted number. Hints up to that one count as used.
func (s *session) hint(ctx context.Context, wanted string) error {
	e, err := s.currentOffline()
	if err != nil {
		return err
	}
	shown := s.progress.Exercises[e.ID].Hints
	n := min(shown+1, course.Hints)
	if wanted != "" {
		if n, err = strconv.Atoi(wanted); err != nil || n < 1 || n > course.Hints {
			return errors.New(coach.Say(s.Language, coach.NoSuchHint, wanted, course.Hints))
		}
	}
	seen := coach.Seen{Verdict: s.lastSeen(e.ID).Verdict}
	if slices.ContainsFunc(e.Variants, func(v course.Variant) bool { return v.Hint == n }) {
		if e, err = s.here(ctx); err != nil {
			return err
		}
		if seen.Objects, err = s.env.Look(ctx, e, lesson.Namespace(e)); err != nil {
			return err
		}
	}
	id, err := coach.Hint(e, n, seen)
	if err != nil {
		return err
	}
	if err := s.change(e.ID, func(x *progress.Exercise) { x.Hints = max(x.Hints, n) }); err != nil {
		return err
	}
	s.Head(coach.Say(s.Language, coach.HintHead, n, course.Hints))
	s.Markdown(e.Say(s.Language, id))
	s.Blank()
	if left := course.Hints - max(shown, n); left > 0 {
		s.Quiet(coach.HintsLeft, left)
	} else {
		s.Quiet(coach.NoMoreHints)
	}
	return s.Done()
}

// CountExplanation stores that svclab explain tells the cause in a namespace, if the current exercise is there and not passed, and
// tells the learner.
func CountExplanation(a *console.App, cmd *cobra.Command, namespace string) error {
	s, err := newSession(a, cmd, &flags{})
	if err != nil {
		return err
	}
	id := s.progress.Current
	own := lesson.Namespace(course.Exercise{ID: id})
	if id == "" || s.progress.Done(id) || namespace != own && !strings.HasPrefix(namespace, own+"-") {
		return nil
	}
	if err := s.change(id, func(x *progress.Exercise) { x.Explained++ }); err != nil {
		return err
	}
	_, err = fmt.Fprintln(a.Err, coach.Say(s.Language, coach.Explained, id))
	return err
}

// solution prints the solutions, if the exercise is passed or the learner confirms.
func (s *session) solution() error {
	e, err := s.currentOffline()
	if err != nil {
		return err
	}
	if !s.progress.Done(e.ID) && !s.flags.yes {
		if !s.interactive {
			return errors.New(coach.Say(s.Language, coach.SolutionKept) + "; " + coach.Say(s.Language, coach.NeedTerminal))
		}
		answer, err := s.ask(coach.SolutionAsk)
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if !agreed(answer) {
			s.Say(coach.SolutionKept)
			return s.Done()
		}
	}
	return s.reveal(e)
}

// reveal prints the solutions. If the exercise is not passed, it stores that they were shown.
func (s *session) reveal(e course.Exercise) error {
	if err := s.change(e.ID, func(x *progress.Exercise) { x.Solution = x.Solution || x.Passed.IsZero() }); err != nil {
		return err
	}
	s.Head(coach.Say(s.Language, coach.SolutionHead, e.ID))
	for i, way := range e.Solutions {
		if len(e.Solutions) > 1 {
			s.Blank()
			s.Say(coach.SolutionWay, i+1)
		}
		for _, q := range e.Questions {
			s.Say(coach.SolutionPick, q.ID, e.Say(s.Language, course.OptionID(q.ID, way.Answers[q.ID])))
		}
		for _, step := range way.Steps.Steps {
			s.way(way, step)
		}
	}
	return s.Done()
}

// way prints a step of a solution as the command that a learner would use.
func (s *session) way(way course.Answer, step scenario.Step) {
	switch action := step.Action.(type) {
	case steps.Run:
		s.commandLine(strings.TrimSpace(action.Command))
	case steps.Apply:
		for _, name := range action {
			s.Say(coach.SolutionFile, name)
			if data, own := way.Files[name]; own {
				s.code(strings.TrimSpace(data))
			}
		}
	case steps.Patch:
		body, err := yaml.YAMLToJSON(action.Body)
		if err != nil {
			body = action.Body
		}
		s.kubectl("patch", action.Object, "--type="+cmp.Or(action.Type, "merge"), "-p", string(body))
	case steps.Delete:
		for _, ref := range action {
			s.kubectl("delete", ref)
		}
	case steps.Scale:
		s.kubectl("scale", action.Object, fmt.Sprintf("--replicas=%d", action.Replicas))
	case steps.Restore, steps.Withhold, steps.ReplacePods:
		s.Raw("    " + step.Name)
	}
}

// kubectl prints a kubectl command for an object.
func (s *session) kubectl(verb string, ref scenario.Ref, args ...string) {
	words := []string{"kubectl", verb, ref.Kind, ref.Name}
	if ref.Namespace != "" {
		words = append(words, "-n", ref.Namespace)
	}
	s.commandLine(shellescape.QuoteCommand(append(words, args...)))
}

// commandLine prints a command, and code a text that is never wrapped.
func (s *session) commandLine(command string) { s.code("$ " + command) }
func (s *session) code(text string)           { s.Markdown("```\n" + text + "\n```") }
