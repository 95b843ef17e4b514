package runner

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/svclab/svclab/e2e/scenario"
)

// TestSchedule runs random mixes and looks at every moment for two that must not run together.
func TestSchedule(t *testing.T) {
	mixes := [][]scenario.Scenario{}
	for n := range 20 {
		var mix []scenario.Scenario
		for i := range 12 {
			sc := scenario.Scenario{Name: fmt.Sprint(i)}
			switch (i*7 + n*3) % 5 {
			case 0:
				sc.Claims = []string{"nodePort/30080"}
			case 1:
				sc.Claims = []string{"pool"}
			case 2, 3:
				sc.Shares = []string{"pool"}
			case 4:
				sc.Serial = n%2 == 0
			}
			mix = append(mix, sc)
		}
		mixes = append(mixes, mix)
	}
	for _, mix := range mixes {
		var (
			mu      sync.Mutex
			running []int
			done    []int
			most    int
		)
		schedule(context.Background(), 3, mix, func(i int) {
			mu.Lock()
			for _, other := range running {
				a, b := mix[i], mix[other]
				if a.Serial || b.Serial || conflict(a, b) {
					t.Errorf("%+v runs together with %+v", a, b)
				}
			}
			running = append(running, i)
			most = max(most, len(running))
			mu.Unlock()
			time.Sleep(time.Millisecond) // work takes time
			mu.Lock()
			defer mu.Unlock()
			running = slices.DeleteFunc(running, func(x int) bool { return x == i })
			done = append(done, i)
		})
		if len(done) != len(mix) {
			t.Errorf("%d of %d ran", len(done), len(mix))
		}
		if most > 3 || most < 2 {
			t.Errorf("%d at once, with 3 workers", most)
		}
	}
}

func TestConflict(t *testing.T) {
	claims, shares := scenario.Scenario{Claims: []string{"pool"}}, scenario.Scenario{Shares: []string{"pool"}}
	for _, c := range []struct {
		a, b scenario.Scenario
		want bool
	}{{claims, claims, true}, {claims, shares, true}, {shares, claims, true}, {shares, shares, false}, {claims, scenario.Scenario{Claims: []string{"other"}}, false}} {
		if got := conflict(c.a, c.b); got != c.want {
			t.Errorf("%v together with %v: %t", c.a, c.b, got)
		}
	}
}

func TestScheduleStopsWhenCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	var mu sync.Mutex
	ran := 0
	schedule(ctx, 1, make([]scenario.Scenario, 5), func(int) {
		mu.Lock()
		defer mu.Unlock()
		if ran++; ran == 2 {
			cancel()
		}
	})
	if ran != 2 {
		t.Errorf("%d ran, want those until the cancellation", ran)
	}
}
