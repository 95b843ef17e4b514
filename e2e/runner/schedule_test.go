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
			if n%3 == 0 && i%5 == 1 { // it waits to be alone while others wait for what it has
				sc.Serial = true
			}
			mix = append(mix, sc)
		}
		mixes = append(mixes, mix)
	}
	for n, mix := range mixes {
		var (
			workers = 1 + n%3
			mu      sync.Mutex
			running []int
			parked  = map[int]bool{}
			alone   = -1
			done    []int
			most    int
		)
		schedule(context.Background(), workers, mix, func(i int, awaitAlone func(context.Context) error) {
			mu.Lock()
			for _, other := range running {
				if alone >= 0 || conflict(mix[i], mix[other]) {
					t.Errorf("%+v begins while %+v runs", mix[i], mix[other])
				}
			}
			running = append(running, i)
			most = max(most, len(running)-len(parked))
			mu.Unlock()
			time.Sleep(time.Millisecond) // work takes time
			mu.Lock()
			defer mu.Unlock()
			if mix[i].Serial {
				parked[i] = true
				mu.Unlock()
				err := awaitAlone(t.Context())
				mu.Lock()
				delete(parked, i)
				if alone >= 0 || err != nil || len(running)-len(parked) > 1 {
					t.Errorf("%+v is alone, %v; running %v, waiting to be alone %v, alone %d", mix[i], err, running, parked, alone)
				}
				for other := range parked {
					if other < i {
						t.Errorf("%d is alone before %d", i, other)
					}
				}
				alone = i
				mu.Unlock()
				time.Sleep(time.Millisecond)
				mu.Lock()
				alone = -1
			}
			running = slices.DeleteFunc(running, func(x int) bool { return x == i })
			done = append(done, i)
		})
		if len(done) != len(mix) {
			t.Errorf("%d of %d ran", len(done), len(mix))
		}
		if most > workers || most < min(workers, 2) {
			t.Errorf("%d at once, with %d workers", most, workers)
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
	schedule(ctx, 1, make([]scenario.Scenario, 5), func(int, func(context.Context) error) {
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

func TestScheduleCancelsThoseThatWaitToBeAlone(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	parked, errs := make(chan bool), make(chan error, 2)
	schedule(ctx, 2, []scenario.Scenario{{}, {Serial: true}}, func(i int, alone func(context.Context) error) {
		if i == 1 {
			close(parked)
			errs <- alone(ctx)
			return
		}
		<-parked
		cancel()
		errs <- <-errs // it ends although this one still runs
	})
	if err := <-errs; err == nil {
		t.Error("a scenario is alone while another runs")
	}
}

// Schedule is for work that is serial from its beginning.
func TestScheduleOfOthers(t *testing.T) {
	var (
		mu      sync.Mutex
		running int
	)
	Schedule(t.Context(), 3, []scenario.Scenario{{}, {Serial: true}, {}, {Serial: true}, {}}, func(i int) {
		mu.Lock()
		running++
		if i%2 == 1 && running > 1 {
			t.Errorf("%d run when %d begins", running, i)
		}
		mu.Unlock()
		time.Sleep(time.Millisecond)
		mu.Lock()
		running--
		mu.Unlock()
	})
}
