package steps

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/svclab/svclab/e2e/scenario"
)

// Traffic starts, awaits or stops a flow of requests: one of Start, Await and Stop.
type Traffic struct {
	Start *TrafficStart `json:"start,omitempty"`
	Await *TrafficAwait `json:"await,omitempty"`
	Stop  *TrafficStop  `json:"stop,omitempty"`
}

// TrafficStart begins a steady flow of requests from one vantage to one target.
type TrafficStart struct {
	Name string `json:"name"`
	// From is one vantage by name.
	From string `json:"from"`
	// To must match exactly one target of the Service it names.
	To        scenario.To       `json:"to"`
	PerSecond int               `json:"perSecond"`
	Timeout   scenario.Duration `json:"timeout,omitempty"`
}

// TrafficAwait waits until a flow that may have broken off is answered again.
type TrafficAwait struct {
	Name string `json:"name"`
	// Answered is how long every request must have been answered; at least the flow's timeout.
	Answered scenario.Duration `json:"answered"`
}

// TrafficStop ends a flow and judges it.
type TrafficStop struct {
	Name string `json:"name"`
	// MinLost is the least number that must have got none, where an outage is to be measured.
	MinLost int `json:"minLost,omitempty"`
	// MaxLost is the largest number of requests that may have got no answer.
	MaxLost int `json:"maxLost"`
	// MaxGap is the longest time without an answer; unbounded where it is not set.
	MaxGap scenario.Duration `json:"maxGap,omitempty"`
	// MinAnswered is the least number of answers for the flow to say anything.
	MinAnswered int `json:"minAnswered,omitempty"`
}

// Name is the flow's; empty where none of Start, Await and Stop is set.
func (t Traffic) Name() string {
	switch {
	case t.Start != nil:
		return t.Start.Name
	case t.Await != nil:
		return t.Await.Name
	case t.Stop != nil:
		return t.Stop.Name
	}
	return ""
}

// Validate wants one of the three, with bounds that can be met.
func (t Traffic) Validate(scenario.Scenario) error {
	set := 0
	for _, is := range []bool{t.Start != nil, t.Await != nil, t.Stop != nil} {
		if is {
			set++
		}
	}
	switch {
	case set != 1:
		return errors.New("traffic wants one of start, await and stop")
	case t.Name() == "":
		return errors.New("traffic wants a name")
	case t.Await != nil && t.Await.Answered == 0:
		return errors.New("traffic to await wants answered: how long")
	case t.Stop != nil && t.Stop.MinLost > t.Stop.MaxLost:
		return fmt.Errorf("traffic wants maxLost to be %d at least, which is minLost", t.Stop.MinLost)
	case t.Start == nil:
		return nil
	case t.Start.PerSecond < 1 || t.Start.PerSecond > 1000:
		return errors.New("traffic wants perSecond from 1 to 1000")
	case !strings.Contains(t.Start.From, "/") && t.Start.From != "outside" && t.Start.From != "host":
		return fmt.Errorf("traffic from %q: want one vantage, such as pod/worker or outside", t.Start.From)
	case t.Start.To.Service == "":
		return errors.New("traffic wants to.service")
	}
	return errors.Join(scenario.ValidateFrom(scenario.Strings{t.Start.From}), t.Start.To.Validate())
}

// Describe says what becomes of the flow.
func (t Traffic) Describe() string {
	switch {
	case t.Start != nil:
		return fmt.Sprintf("start traffic %s: %d requests a second from %s to %s", t.Start.Name, t.Start.PerSecond, t.Start.From, t.Start.To)
	case t.Await != nil:
		return fmt.Sprintf("wait until traffic %s is answered for %s", t.Await.Name, time.Duration(t.Await.Answered))
	case t.Stop == nil:
		return "no traffic"
	}
	text := fmt.Sprintf("stop traffic %s: at most %d lost", t.Stop.Name, t.Stop.MaxLost)
	if t.Stop.MinLost > 0 {
		text += fmt.Sprintf(", at least %d", t.Stop.MinLost)
	}
	if t.Stop.MaxGap > 0 {
		text += fmt.Sprintf(", no gap longer than %s", time.Duration(t.Stop.MaxGap))
	}
	return text
}

// ReadOnly is false where it starts: later steps await and stop the flow.
func (t Traffic) ReadOnly() bool { return t.Start == nil }

// Uses pairs the start of a flow with its stop.
func (t Traffic) Uses(scenario.Scenario) scenario.Uses {
	p := scenario.Pair{Thing: "traffic " + t.Name(), First: "start", Second: "stop", Role: scenario.Ends}
	switch {
	case t.Start != nil:
		p.Role = scenario.Begins
	case t.Await != nil:
		p.Second, p.Role = "await", scenario.Continues
	}
	return scenario.Uses{Pairs: []scenario.Pair{p}}
}
