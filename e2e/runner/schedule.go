package runner

import (
	"context"
	"slices"
	"sync"

	"github.com/svclab/svclab/e2e/scenario"
)

// Schedule calls do for every scenario, as Run does: side by side as far as their claims allow.
func Schedule(ctx context.Context, workers int, scenarios []scenario.Scenario, do func(i int)) {
	schedule(ctx, workers, scenarios, do)
}

// schedule calls do for every scenario, at most workers at once, so that no two run together if one
// claims what the other claims or shares. Serial scenarios run when all others are done, one at a time. A
// scenario that cannot start yet does not hold up those after it. When ctx ends, no further one is started.
func schedule(ctx context.Context, workers int, scenarios []scenario.Scenario, do func(i int)) {
	var (
		mu      sync.Mutex
		changed = sync.NewCond(&mu)
		running = map[int]bool{}
		waiting []int
		started sync.WaitGroup
	)
	wake := context.AfterFunc(ctx, func() {
		mu.Lock()
		defer mu.Unlock()
		changed.Broadcast()
	})
	defer wake()
	for i := range scenarios {
		waiting = append(waiting, i)
	}
	slices.SortStableFunc(waiting, func(a, b int) int { return rank(scenarios[a]) - rank(scenarios[b]) })

	mu.Lock()
	for len(waiting) > 0 && ctx.Err() == nil {
		next := slices.IndexFunc(waiting, func(i int) bool {
			if len(running) >= workers || scenarios[i].Serial && len(running) > 0 {
				return false
			}
			for other := range running {
				if scenarios[other].Serial || conflict(scenarios[i], scenarios[other]) {
					return false
				}
			}
			return true
		})
		if next < 0 {
			changed.Wait()
			continue
		}
		i := waiting[next]
		waiting = slices.Delete(waiting, next, next+1)
		running[i] = true
		started.Go(func() {
			do(i)
			mu.Lock()
			defer mu.Unlock()
			delete(running, i)
			changed.Broadcast()
		})
	}
	mu.Unlock()
	started.Wait()
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
