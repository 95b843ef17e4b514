package probe

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/svclab/svclab/e2e/probe/wire"
)

// The prober gets as long as its cells take when no probe gets a reply, in whichever order they come.
func TestDeadlineFollowsFromTheProbes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, lanes := range []int{1, 3, 64} {
			c := New(nil, WithConcurrency(lanes))
			var cells []wire.Cell
			for i := range 150 {
				cells = append(cells, wire.Cell{Max: 2 + i%30, Timeout: time.Duration(1+i%5) * time.Second, Interval: time.Duration(i%2) * time.Second})
			}
			for range 2 {
				ends := make([]time.Duration, lanes)
				for _, cell := range cells { // each goes to the lane that is free first
					i := slices.Index(ends, slices.Min(ends))
					ends[i] += time.Duration(cell.Max) * (cell.Timeout + cell.Interval)
				}
				if bound := c.deadline(context.Background(), cells); bound < slices.Max(ends) {
					t.Errorf("%d at once: a deadline of %s, the probes take %s", lanes, bound, slices.Max(ends))
				}
				slices.Reverse(cells)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			if bound := c.deadline(ctx, cells); bound != 9*time.Second {
				t.Errorf("%d at once: %s of the 10s that the caller has", lanes, bound)
			}
		}
	})
}
