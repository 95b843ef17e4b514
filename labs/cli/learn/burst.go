package learn

import "time"

const (
	// quietAfter is the time without a change after which a burst of changes is over.
	quietAfter = 150 * time.Millisecond
	// atMost bounds a burst, so that changes that never stop do not delay the check forever.
	atMost = 600 * time.Millisecond
)

// burst turns changes that follow each other closely into one event. The zero value has no changes.
type burst struct {
	began time.Time
	timer *time.Timer
}

// more adds a change.
func (b *burst) more() {
	now := time.Now()
	if b.timer == nil {
		b.began, b.timer = now, time.NewTimer(quietAfter)
		return
	}
	b.timer.Reset(max(0, min(quietAfter, atMost-now.Sub(b.began))))
}

// over returns a channel that fires when the burst is over. The caller must then call end. It is nil while there is no burst.
func (b *burst) over() <-chan time.Time {
	if b.timer == nil {
		return nil
	}
	return b.timer.C
}

// end removes the burst.
func (b *burst) end() {
	if b.timer != nil {
		b.timer.Stop()
		b.timer = nil
	}
}
