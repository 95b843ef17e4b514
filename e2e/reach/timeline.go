package reach

import (
	"slices"
	"time"
)

// Timeline is what flows recorded around changes of the cluster.
type Timeline struct {
	From    time.Time        `json:"from"`
	To      time.Time        `json:"to"`
	Changes []TimelineChange `json:"changes"`
	Rows    []TimelineRow    `json:"rows"`
}

// TimelineChange is a change of the cluster. InForce is when everything had to follow it; zero: that time did not come.
type TimelineChange struct {
	What    string    `json:"what"`
	Began   time.Time `json:"began"`
	InForce time.Time `json:"inForce,omitzero"`
}

// TimelineRow is one flow with its requests, by their starts.
type TimelineRow struct {
	Name     string            `json:"name"`
	Requests []TimelineRequest `json:"requests"`
}

// TimelineRequest is what one request got. Backend is empty unless it was Reached.
type TimelineRequest struct {
	At      time.Time `json:"at"`
	Outcome Outcome   `json:"outcome"`
	Backend string    `json:"backend,omitempty"`
}

// Row returns a flow's record between From and To as a row.
func (t Timeline) Row(f Flow, record []Observation) TimelineRow {
	row := TimelineRow{Name: f.Name()}
	for _, o := range record {
		if o.At.Before(t.From) || o.At.After(t.To) {
			continue
		}
		r := TimelineRequest{At: o.At, Outcome: o.Outcome}
		if o.Outcome == Reached {
			r.Backend = o.Backend
		}
		row.Requests = append(row.Requests, r)
	}
	return row
}

// At returns where a time lies between From, which is 0, and To, which is 1. Times before and after are moved to these.
func (t Timeline) At(at time.Time) float64 {
	return min(max(float64(at.Sub(t.From))/float64(max(t.To.Sub(t.From), 1)), 0), 1)
}

// Backends returns the backends that answered, in the order of the rows.
func (t Timeline) Backends() []string {
	var list []string
	for _, row := range t.Rows {
		for _, r := range row.Requests {
			if r.Outcome == Reached && !slices.Contains(list, r.Backend) {
				list = append(list, r.Backend)
			}
		}
	}
	return list
}
