package fuzz

import (
	"fmt"
	"time"

	"github.com/svclab/svclab/e2e/reach"
)

// timeline returns the records of a history's flows around a disagreement, or of its flow alone if it is one's. nil: no flow ran.
func timeline(p played, d *Disagreement) *reach.Timeline {
	if len(p.records) == 0 || d.at >= len(p.moments) {
		return nil
	}
	first := max(d.at-1, 1)
	t := &reach.Timeline{From: p.moments[first].period.Began.Add(-time.Second), To: p.moments[d.at].period.Ended}
	for k := first; k <= d.at; k++ {
		m := p.moments[k]
		t.Changes = append(t.Changes, reach.TimelineChange{What: fmt.Sprintf("%d. %s", k, m.operation), Began: m.period.Began, InForce: m.period.InForce})
	}
	for i, record := range p.records {
		if d.Record == nil || p.flowsOf[i].Name() == d.Record.Flow.Name() {
			t.Rows = append(t.Rows, t.Row(p.flowsOf[i], record))
		}
	}
	return t
}
