package learn

import "time"

const (
	// quietAfter is how long nothing must have changed for a burst of changes to be over.
	quietAfter = 150 * time.Millisecond
	// atMost is how long a burst may be waited for.
	atMost = 600 * time.Millisecond
)

// burst makes one event of changes that come one after the other. The zero value has none.
type burst struct {
	began time.Time
	timer *time.Timer
}

// more notes a change.
func (b *burst) more() {
	now := time.Now()
	if b.timer == nil {
		b.began, b.timer = now, time.NewTimer(quietAfter)
		return
	}
	b.timer.Reset(max(0, min(quietAfter, atMost-now.Sub(b.began))))
}

// over fires when the burst is over; then it must be ended. It is nil while there is none.
func (b *burst) over() <-chan time.Time {
	if b.timer == nil {
		return nil
	}
	return b.timer.C
}

// end forgets the burst.
func (b *burst) end() {
	if b.timer != nil {
		b.timer.Stop()
		b.timer = nil
	}
}
