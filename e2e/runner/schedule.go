package runner

import (
	"context"
	"slices"
	"sync"

	"github.com/svclab/svclab/e2e/scenario"
)

// Schedule calls do for every scenario, as Run does: side by side as far as their claims allow. A serial one runs alone from its
// first step on.
func Schedule(ctx context.Context, workers int, scenarios []scenario.Scenario, do func(i int)) {
	schedule(ctx, workers, scenarios, func(i int, alone func(context.Context) error) {
		if scenarios[i].Serial && alone(ctx) != nil {
			return // not begun, as those that wait for a worker
		}
		do(i)
	})
}

// schedule calls do for every scenario, at most workers at once, so that no two run together if one
// claims what the other claims or shares. Serial scenarios begin when all others have begun. do of a serial one calls alone before it
// disturbs the cluster: that returns when no other scenario runs but those that wait in alone too, and until do returns none does. A
// scenario that cannot start yet does not hold up those after it. When ctx ends, no further one is started, and alone returns the cause.
func schedule(ctx context.Context, workers int, scenarios []scenario.Scenario, do func(i int, alone func(context.Context) error)) {
	s := &scheduling{workers: workers, scenarios: scenarios}
	s.changed = sync.NewCond(&s.mu)
	defer s.wokenBy(ctx)()
	for i := range scenarios {
		s.waiting = append(s.waiting, i)
	}
	slices.SortStableFunc(s.waiting, func(a, b int) int { return rank(scenarios[a]) - rank(scenarios[b]) })

	var started sync.WaitGroup
	s.mu.Lock()
	for len(s.waiting) > 0 && ctx.Err() == nil {
		next := s.next()
		if next < 0 {
			s.changed.Wait()
			continue
		}
		i := s.waiting[next]
		s.waiting = slices.Delete(s.waiting, next, next+1)
		s.running = append(s.running, i)
		started.Go(func() {
			do(i, func(ctx context.Context) error { return s.awaitAlone(ctx, i) })
			s.mu.Lock()
			defer s.mu.Unlock()
			s.running = slices.DeleteFunc(s.running, func(other int) bool { return other == i })
			s.changed.Broadcast()
		})
	}
	s.mu.Unlock()
	started.Wait()
}

// scheduling is the state of schedule. Scenarios are their indexes.
type scheduling struct {
	workers   int
	scenarios []scenario.Scenario
	mu        sync.Mutex
	changed   *sync.Cond
	// waiting have not begun, running have. parked are those of them that wait to be alone.
	waiting, running, parked []int
}

// wokenBy has the end of ctx wake who waits for a change, until stop is called.
func (s *scheduling) wokenBy(ctx context.Context) (stop func() bool) {
	return context.AfterFunc(ctx, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.changed.Broadcast()
	})
}

// next is the index in waiting of the scenario that can begin now; -1: none can.
func (s *scheduling) next() int {
	if len(s.running)-len(s.parked) >= s.workers {
		return -1
	}
	return slices.IndexFunc(s.waiting, func(i int) bool {
		return !slices.ContainsFunc(s.running, func(other int) bool { return conflict(s.scenarios[i], s.scenarios[other]) })
	})
}

// awaitAlone returns when a scenario that runs may go on alone: nothing runs and nothing can begin, and so it stays until it ends.
// Those that wait for that are alone in the order in which they were given.
func (s *scheduling) awaitAlone(ctx context.Context, i int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.parked = append(s.parked, i)
	defer func() { s.parked = slices.DeleteFunc(s.parked, func(other int) bool { return other == i }) }()
	defer s.wokenBy(ctx)()
	s.changed.Broadcast()
	for ctx.Err() == nil {
		if len(s.running) == len(s.parked) && slices.Min(s.parked) == i && s.next() < 0 {
			return nil
		}
		s.changed.Wait()
	}
	return context.Cause(ctx)
}

func rank(s scenario.Scenario) int {
	if s.Serial {
		return 1
	}
	return 0
}

// conflict reports whether a claims what b claims or shares, or the other way round.
func conflict(a, b scenario.Scenario) bool {
	claims := func(a, b scenario.Scenario) bool {
		return slices.ContainsFunc(a.Claims, func(claim string) bool {
			return slices.Contains(b.Claims, claim) || slices.Contains(b.Shares, claim)
		})
	}
	return claims(a, b) || claims(b, a)
}
