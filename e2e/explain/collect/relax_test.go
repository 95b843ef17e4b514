package collect

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/svclab/svclab/e2e/observe"
	"github.com/svclab/svclab/e2e/reach"
)

var source = netip.MustParseAddr("10.244.0.200")

func TestRelax(t *testing.T) {
	const app, other, timedOut, refused = reach.Reached, reach.WrongAnswer, reach.TimedOut, reach.Refused
	direct := func(kind reach.VantageKind, protocol reach.Protocol, outcomes ...reach.Outcome) reach.Cell {
		return cellOf(reach.Vantage{Kind: kind}, reach.Target{Kind: reach.Endpoint, Pod: "a", Protocol: protocol}, outcomes...)
	}
	service := func(protocol reach.Protocol, outcomes ...reach.Outcome) reach.Cell {
		return cellOf(reach.Vantage{Kind: reach.Pod}, reach.Target{Kind: reach.ClusterIP, Protocol: protocol}, outcomes...)
	}
	health := cellOf(reach.Vantage{Kind: reach.Node}, reach.Target{Kind: reach.HealthCheck, Protocol: reach.TCP}, app)
	for name, c := range map[string]struct {
		cells  []reach.Cell
		denied bool // that no backend is predicted to answer
		want   string
		loose  bool // whether the first cell's prediction no longer names backends
	}{
		"another program":                        {[]reach.Cell{service(reach.TCP, other, other)}, false, "Reached Reached", true},
		"another program behind a health check":  {[]reach.Cell{service(reach.TCP, other), health}, false, "Reached", true},
		"another program where none may answer":  {[]reach.Cell{service(reach.TCP, other)}, true, "WrongAnswer", false},
		"the sample app, and a wrong answer":     {[]reach.Cell{service(reach.TCP, other, app)}, false, "WrongAnswer Reached", false},
		"the sample app in another cell":         {[]reach.Cell{service(reach.TCP, other), direct(reach.Pod, reach.TCP, app)}, false, "WrongAnswer", false},
		"UDP without reply, the pods neither":    {[]reach.Cell{service(reach.UDP, timedOut), direct(reach.Pod, reach.UDP, timedOut)}, false, "Unprobed", false},
		"the pod itself":                         {[]reach.Cell{direct(reach.Pod, reach.UDP, timedOut)}, false, "Unprobed", false},
		"UDP without reply, the pods reply":      {[]reach.Cell{service(reach.UDP, timedOut), direct(reach.Pod, reach.UDP, other)}, false, "TimedOut", false},
		"UDP without reply, a pod replies once":  {[]reach.Cell{service(reach.UDP, timedOut), direct(reach.Pod, reach.UDP, timedOut, refused)}, false, "TimedOut", false},
		"UDP without reply, from a node":         {[]reach.Cell{service(reach.UDP, timedOut), direct(reach.Node, reach.UDP, timedOut)}, false, "TimedOut", false},
		"UDP without reply, TCP neither":         {[]reach.Cell{service(reach.UDP, timedOut), direct(reach.Pod, reach.TCP, timedOut)}, false, "TimedOut", false},
		"UDP without reply where none may reply": {[]reach.Cell{service(reach.UDP, timedOut), direct(reach.Pod, reach.UDP, timedOut)}, true, "TimedOut", false},
		"UDP refused, the pods do not reply":     {[]reach.Cell{service(reach.UDP, refused), direct(reach.Pod, reach.UDP, timedOut)}, false, "Refused", false},
		"TCP without reply, UDP pods neither":    {[]reach.Cell{service(reach.TCP, timedOut), direct(reach.Pod, reach.UDP, timedOut)}, false, "TimedOut", false},
	} {
		forecasts := make([]observe.Forecast, len(c.cells))
		for i := range forecasts {
			forecasts[i].Oracle = reach.Prediction{Outcomes: []reach.Outcome{reach.Reached}, Backends: []string{"a"}, Sources: []netip.Prefix{netip.PrefixFrom(source, 32)}, HostSeen: "web"}
			if c.denied {
				forecasts[i].Oracle = reach.Prediction{Outcomes: []reach.Outcome{reach.Refused}, Backends: []string{"a"}}
			}
		}
		relax(c.cells, forecasts)
		got := ""
		for _, o := range c.cells[0].Observations {
			got += " " + string(o.Outcome)
			if o.Outcome == reach.Reached && c.loose && (o.Source.IsValid() || o.Detail == "") || o.Outcome == reach.Unprobed && o.Detail == "" {
				t.Errorf("%s: %+v", name, o)
			}
		}
		p := forecasts[0].Oracle
		if loose := p.Backends == nil && p.Sources == nil && p.HostSeen == ""; got != " "+c.want || loose != c.loose {
			t.Errorf("%s: got%s, want %s; %+v", name, got, c.want, p)
		}
	}
}

func cellOf(v reach.Vantage, t reach.Target, outcomes ...reach.Outcome) reach.Cell {
	cell := reach.Cell{Vantage: v, Target: t}
	for _, o := range outcomes {
		cell.Observations = append(cell.Observations, reach.Observation{Outcome: o, Source: source})
	}
	return cell
}

func TestRefusing(t *testing.T) {
	var table reach.Table
	add := func(kind reach.TargetKind, pod string, outcomes ...reach.Outcome) {
		table.Cells = append(table.Cells, reach.CellVerdict{Cell: cellOf(reach.Vantage{}, reach.Target{Kind: kind, Pod: pod}, outcomes...)})
	}
	add(reach.ClusterIP, "", reach.Refused)
	add(reach.Endpoint, "", reach.Refused)
	add(reach.Endpoint, "answers", reach.Reached)
	add(reach.Endpoint, "drops", reach.TimedOut)
	add(reach.NodePort, "other", reach.Refused)
	for i := range 4 {
		add(reach.Endpoint, fmt.Sprint(i), reach.TimedOut, reach.Refused)
		add(reach.Endpoint, fmt.Sprint(i), reach.Refused)
	}
	if got := fmt.Sprint(refusing(table)); got != "[0 1 2 3]" {
		t.Errorf("got %s", got)
	}
	for i := range 4 {
		add(reach.Endpoint, fmt.Sprint(4+i), reach.Refused)
	}
	if got := fmt.Sprint(refusing(table)); got != "[0 1 2 3 4]" {
		t.Errorf("got %s, want five at most", got)
	}
}
