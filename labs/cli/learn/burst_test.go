package learn

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestBurst(t *testing.T) {
	for _, tc := range []struct {
		name    string
		changes []time.Duration // between two
		want    time.Duration   // from the first
	}{
		{"one", nil, quietAfter},
		{"two close together", []time.Duration{100 * time.Millisecond}, 100*time.Millisecond + quietAfter},
		{"without end", []time.Duration{100, 100, 100, 100, 100, 99, 100, 100}, atMost},
	} {
		synctest.Test(t, func(t *testing.T) {
			var b burst
			if b.over() != nil {
				t.Fatal("there is one before the first change")
			}
			began := time.Now()
			b.more()
			go func() {
				for _, wait := range tc.changes {
					if wait < time.Millisecond {
						wait *= time.Millisecond
					}
					time.Sleep(wait)
					if time.Since(began) < atMost {
						b.more()
					}
				}
			}()
			time.Sleep(time.Nanosecond)
			<-b.over()
			if got := time.Since(began); got != tc.want {
				t.Errorf("%s: over after %s, want %s", tc.name, got, tc.want)
			}
			b.end()
			if b.over() != nil {
				t.Errorf("%s: it is not ended", tc.name)
			}
			time.Sleep(time.Second)
		})
	}
}
