package fuzz

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/world"
)

// Puzzle is a cell of a random Service for a person to predict.
type Puzzle struct {
	// Number is the puzzle's place in those of its seed; the first is 1.
	Number int
	// World has the Service, its EndpointSlices and the backends, as they are in the cluster.
	World world.World
	// Service is the Service, as the API server completed it.
	Service corev1.Service
	Vantage reach.Vantage
	Target  reach.Target
	// Prediction is the oracle's. It allows exactly one outcome.
	Prediction reach.Prediction
	// Observe probes the cell and judges it.
	Observe func(ctx context.Context) (reach.CellVerdict, error)
}

// PuzzleOutcomes are the outcomes that a puzzle can have.
func PuzzleOutcomes() []reach.Outcome {
	return []reach.Outcome{reach.Reached, reach.Refused, reach.TimedOut, reach.Unreachable, reach.NoSuchHost}
}

// mostPorts is the largest number of ports of a puzzle's Service: more are no harder, only longer.
const mostPorts = 3

// Puzzles makes the Services of a seed on a cluster, one at a time, chooses a cell of each, and calls ask with it, until ask
// returns false or an error, or Settings.Count Services were made. It removes all that it made. The error is that of ask, or that the
// cluster could not be used.
func Puzzles(ctx context.Context, c Cluster, prober Prober, settings Settings, ask func(ctx context.Context, p Puzzle) (more bool, err error)) error {
	if err := settings.Validate(); err != nil {
		return err
	}
	shared, err := prepare(ctx, c, prober, settings)
	if err != nil {
		return err
	}
	shared.outcome = &Outcome{Settings: settings, Rules: map[string]int{}}
	return shared.within(ctx, fmt.Sprintf("svclab-fuzz-%d", settings.Seed), func(s *session, ctx context.Context) error {
		number := 0
		for i, c := range s.plan.Cases {
			if !puzzling(c) {
				continue
			}
			puzzle, found, err := s.puzzle(ctx, i, c)
			if err != nil {
				return err
			}
			if !found {
				continue
			}
			number++
			puzzle.Number = number
			if more, err := ask(ctx, puzzle); err != nil || !more {
				return err
			}
		}
		return nil
	})
}

// puzzling reports whether a Service is short enough to be read.
func puzzling(c Case) bool {
	return len(c.Service.Spec.Ports) <= mostPorts && len(c.Service.Name) < longestName && (c.Manual == nil || c.Manual.Many+c.Manual.Waiting == 0)
}

// puzzle makes a Service and chooses a cell of it. found is false if every cell has several possible outcomes.
func (s *session) puzzle(ctx context.Context, i int, c Case) (p Puzzle, found bool, err error) {
	if _, err := s.sandbox.apply(ctx, []Case{c}, nil); err != nil {
		return p, false, fmt.Errorf("make Service %s: %w", c.Name(), err)
	}
	w, err := s.sandbox.snapshot(ctx)
	if err != nil {
		return p, false, err
	}
	full := s.scene.Namespace + "/" + c.Name()
	service, there := w.Service(full)
	if !there {
		return p, false, fmt.Errorf("the Service %s is not there", full)
	}
	chosen, found := choose(rand.New(rand.NewPCG(s.Seed, puzzleStream+uint64(i))), pairs(w, s.vantages, full), predictByOracle(w))
	if !found {
		return p, false, nil
	}
	return Puzzle{World: w, Service: service, Vantage: chosen.vantage, Target: chosen.target, Prediction: predictByOracle(w)(chosen.vantage, chosen.target),
		Observe: func(ctx context.Context) (reach.CellVerdict, error) {
			seen, err := s.observer.observe(ctx, []pair{chosen}, s.Convergence)
			if err != nil {
				return reach.CellVerdict{}, err
			}
			if len(seen.cells) != 1 {
				return reach.CellVerdict{}, errors.New("the cell was not probed")
			}
			return seen.cells[0], nil
		}}, true, nil
}

// puzzleStream is the second half of the seed from which the cell of the i-th Service comes: puzzleStream + i.
const puzzleStream = 1 << 33

// choose chooses a cell whose prediction allows one outcome and has no doubt: first an outcome by chance, then a cell that has it, so
// that a common outcome does not hide the others.
func choose(r *rand.Rand, list []pair, predict func(reach.Vantage, reach.Target) reach.Prediction) (pair, bool) {
	by := map[reach.Outcome][]pair{}
	var outcomes []reach.Outcome
	for _, p := range list {
		prediction := predict(p.vantage, p.target)
		if p.vantage.Unusable != "" || p.target.Port == 0 || len(prediction.Outcomes) != 1 || prediction.Doubt != "" || !slices.Contains(PuzzleOutcomes(), prediction.Outcomes[0]) {
			continue
		}
		outcome := prediction.Outcomes[0]
		if len(by[outcome]) == 0 {
			outcomes = append(outcomes, outcome)
		}
		by[outcome] = append(by[outcome], p)
	}
	if len(outcomes) == 0 {
		return pair{}, false
	}
	return pick(r, by[pick(r, outcomes...)]...), true
}
