package learn

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/svclab/svclab/e2e/fuzz"
	"github.com/svclab/svclab/e2e/lab"
	"github.com/svclab/svclab/e2e/probe"
	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/world"
	"github.com/svclab/svclab/labs/cli/console"
	"github.com/svclab/svclab/labs/coach"
)

// puzzlesMost bounds the Services that are made for one run. It is more than a person predicts in one run.
const puzzlesMost = 500

func predictVerb(a *console.App) *cobra.Command {
	var (
		f       flags
		seed    uint64
		answers []string
	)
	cmd := &cobra.Command{
		Use:   "predict",
		Short: "Predict what random Services do, one after the other, as long as you like",
		Long: `Makes random Services of all shapes (those of svclab fuzz), one at a time, shows one with its endpoints, and asks what a client
gets: an answer, a refusal, silence. Then it sends the request, and says why. It counts how many of your predictions were right.

Answer with the number of an option; q quits. With --answer no line is read: each answers the next question, and the last one ends it.

It refuses a cluster in which an exercise is open: see svclab learn stop.

Exit codes: 0 all predictions were right, 1 some were not, 2 no verdict was possible.`,
		Example:           "  svclab learn predict\n  svclab learn predict --seed 7\n  svclab learn predict --seed 7 --answer Refused --answer Reached",
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !cmd.Flags().Changed("seed") {
				seed = uint64(rand.IntN(1_000_000))
			}
			for _, answer := range answers {
				if !slices.Contains(fuzz.PuzzleOutcomes(), reach.Outcome(answer)) {
					return fmt.Errorf("--answer %s is no outcome; give one of %v", answer, fuzz.PuzzleOutcomes())
				}
			}
			s, err := newSession(a, cmd, &f)
			if err != nil {
				return err
			}
			return s.predictions(cmd.Context(), seed, answers)
		},
	}
	cmd.Flags().Uint64Var(&seed, "seed", 0, "seed of the Services (default: a new one, which is printed)")
	cmd.Flags().StringArrayVar(&answers, "answer", nil, "the prediction of the next question, as Reached or Refused; may be given several times")
	f.add(a, cmd, onCluster)
	return cmd
}

// predictions asks for predictions until the learner quits.
func (s *session) predictions(ctx context.Context, seed uint64, answers []string) (err error) {
	attached, leave, err := s.alone(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, leave()) }()
	found := lab.Cluster{Cluster: attached}
	settings := fuzz.Defaults()
	settings.Seed, settings.Count = seed, puzzlesMost
	right, asked, began, given := 0, 0, time.Now(), len(answers) > 0
	s.Head(coach.Say(s.Language, coach.PuzzleHead, seed))
	s.spinner.Waiting("", "", 0, "")
	err = fuzz.Puzzles(ctx, found, probe.New(found.Cluster, probe.WithGuard(found.Guard())), settings, func(ctx context.Context, p fuzz.Puzzle) (bool, error) {
		if given && len(answers) == 0 {
			return false, nil
		}
		s.puzzle(p)
		var prediction reach.Outcome
		if given {
			prediction, answers = reach.Outcome(answers[0]), answers[1:]
		} else {
			outcome, quit, err := s.guess()
			if quit || err != nil {
				return false, err
			}
			prediction = outcome
		}
		asked++
		ok, err := s.revealed(ctx, p, prediction)
		if ok {
			right++
		}
		return err == nil, errors.Join(err, s.Done())
	})
	if asked > 0 {
		s.Say(coach.PuzzleScore, right, asked, time.Since(began).Round(time.Second))
	}
	if err = errors.Join(err, s.Done()); err != nil {
		return err
	}
	if right < asked {
		return console.Judged(reach.Fail)
	}
	return nil
}

// puzzle prints a Service, its endpoints and the question.
func (s *session) puzzle(p fuzz.Puzzle) {
	s.Blank()
	s.Head(coach.Say(s.Language, coach.PuzzleNumber, p.Number))
	s.Say(coach.PuzzleMade)
	s.code(manifest(p.Service))
	if lines := endpoints(p.World, world.Name(&p.Service)); len(lines) > 0 {
		s.Say(coach.PuzzleSlices)
		s.code(strings.Join(lines, "\n"))
	} else {
		s.Say(coach.PuzzleNoSlice)
	}
	s.Say(coach.PuzzleAsk, p.Vantage.Name, fmt.Sprintf("%s:%d/%s", p.Target.Host, p.Target.Port, p.Target.Protocol), string(p.Target.Kind))
	for i, outcome := range fuzz.PuzzleOutcomes() {
		s.Field(fmt.Sprintf("  %d)", i+1), coach.Say(s.Language, outcomeText(outcome)))
	}
}

func outcomeText(o reach.Outcome) coach.Message {
	switch o {
	case reach.Reached:
		return coach.OutcomeReached
	case reach.Refused:
		return coach.OutcomeRefused
	case reach.TimedOut:
		return coach.OutcomeTimedOut
	case reach.Unreachable:
		return coach.OutcomeUnreachable
	default:
		return coach.OutcomeNoSuchHost
	}
}

// manifest is a Service as a person would write it, without what the API server adds and its status.
func manifest(service corev1.Service) string {
	spec := service.Spec.DeepCopy()
	text := map[string]any{"kind": "Service", "metadata": map[string]any{"name": service.Name}, "spec": spec}
	if len(service.Status.LoadBalancer.Ingress) > 0 {
		text["status"] = service.Status.LoadBalancer
	}
	data, err := yaml.Marshal(text)
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(string(data))
}

// endpoints has a line for each endpoint of a Service.
func endpoints(w world.World, service string) []string {
	var lines []string
	for i := range w.Slices {
		slice := &w.Slices[i]
		if world.ServiceOf(slice) != service {
			continue
		}
		var ports []string
		for _, p := range slice.Ports {
			port := "-"
			if p.Port != nil {
				port = strconv.Itoa(int(*p.Port))
			}
			if p.Protocol != nil {
				port += "/" + string(*p.Protocol)
			}
			if p.Name != nil && *p.Name != "" {
				port = *p.Name + " " + port
			}
			ports = append(ports, port)
		}
		for _, e := range slice.Endpoints {
			pod, node, state := "-", "-", "ready"
			if e.TargetRef != nil {
				pod = e.TargetRef.Name
			}
			if e.NodeName != nil {
				node = w.Slot(*e.NodeName)
			}
			if e.Conditions.Ready != nil && !*e.Conditions.Ready {
				state = "not ready"
				if e.Conditions.Serving != nil && *e.Conditions.Serving {
					state += ", serving"
				}
				if e.Conditions.Terminating != nil && *e.Conditions.Terminating {
					state += ", terminating"
				}
			}
			hints := ""
			if e.Hints != nil && len(e.Hints.ForNodes) > 0 {
				var slots []string
				for _, n := range e.Hints.ForNodes {
					slots = append(slots, w.Slot(n.Name))
				}
				hints = "  for " + strings.Join(slots, ", ")
			}
			lines = append(lines, fmt.Sprintf("%s  %s on %s  %s  [%s]%s", strings.Join(e.Addresses, ","), pod, node, state, strings.Join(ports, ", "), hints))
		}
	}
	return lines
}

// guess reads the number of an outcome. quit: the learner ended it, or the input is at its end.
func (s *session) guess() (outcome reach.Outcome, quit bool, err error) {
	outcomes := fuzz.PuzzleOutcomes()
	for {
		line, err := s.ask(coach.PuzzleWhich, len(outcomes))
		if errors.Is(err, io.EOF) || line == "q" {
			return "", true, nil
		}
		if err != nil {
			return "", false, err
		}
		if n, err := strconv.Atoi(line); err == nil && n >= 1 && n <= len(outcomes) {
			return outcomes[n-1], false, nil
		}
		s.Say(coach.NotAnOpt, line, len(outcomes))
	}
}

// revealed sends the request and says what came of it and why. ok: the prediction was right. What the cluster does decides, not the oracle.
func (s *session) revealed(ctx context.Context, p fuzz.Puzzle, prediction reach.Outcome) (ok bool, err error) {
	var cell reach.CellVerdict
	if err := s.spinner.run(coach.Checking, func() (err error) { cell, err = p.Observe(ctx); return err }); err != nil {
		return false, err
	}
	if len(cell.Cell.Observations) == 0 || cell.Result == reach.Inconclusive || cell.Result == reach.Skipped {
		return false, fmt.Errorf("the request could not be judged: %s", cell.Why)
	}
	got := cell.Cell.Observations[len(cell.Cell.Observations)-1].Outcome
	if ok = got == prediction; ok {
		s.Say(coach.PuzzleRight, coach.Say(s.Language, outcomeText(got)))
	} else {
		s.Say(coach.PuzzleWrong, coach.Say(s.Language, outcomeText(got)))
	}
	s.Field("  "+coach.Say(s.Language, coach.Why), coach.Reason(s.Language, p.Prediction))
	if cell.Result == reach.Fail {
		s.Say(coach.PuzzleOracle, cell.Why)
	}
	return ok, nil
}
