package probe

import "testing"

// BenchmarkFiveHundredCells probes 500 cells from seven vantages, two connections each, a third of them refused.
func BenchmarkFiveHundredCells(b *testing.B) {
	apps := []*app{newApp(b, "tcp4", 3), newApp(b, "tcp4", 3)}
	requests := manyRequests(apps, closedPort(b), 500)
	for b.Loop() {
		if _, err := New(&Local{}).Observe(b.Context(), requests); err != nil {
			b.Fatal(err)
		}
	}
}
