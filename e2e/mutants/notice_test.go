package mutants

import (
	"strings"
	"testing"

	"github.com/svclab/svclab/e2e/reach"
)

// cell is a judged cell: from "pod/worker", at a target of my-service.
func cell(from string, target reach.Target, result reach.Result, differences ...reach.Difference) reach.CellVerdict {
	kind, _, _ := strings.Cut(from, "/")
	target.Service = "ns/my-service"
	v := reach.CellVerdict{Cell: reach.Cell{Vantage: reach.Vantage{Name: from, Kind: reach.VantageKind(kind)}, Target: target}, Result: result, Differences: differences}
	if result == reach.Inconclusive {
		v.Why = "could not probe: no prober"
	}
	return v
}

func table(name string, cells ...reach.CellVerdict) reach.Step {
	t := reach.Table{Cells: cells}
	return reach.Step{Name: name, Result: t.Result(), Tables: []reach.Table{t}}
}

func TestNoticeReadsTheRightCell(t *testing.T) {
	var (
		vip      = reach.Target{Kind: reach.ClusterIP, Host: "10.96.0.9", Port: 80, Protocol: reach.TCP}
		closed   = reach.Target{Kind: reach.ClusterIP, Host: "10.96.0.9", Port: 81, Protocol: reach.TCP, Undeclared: true}
		name     = reach.Target{Kind: reach.DNSName, Host: "my-service", Port: 80, Protocol: reach.TCP}
		refused  = reach.Difference{Field: "outcome", Want: "Reached", Got: "Refused", Count: 8, Of: 8}
		timedOut = reach.Difference{Field: "outcome", Want: "Reached", Got: "TimedOut", Count: 8, Of: 8}
		missing  = reach.Difference{Field: "missing backend", Want: "a", Got: "b", Count: 8, Of: 8}
		sign     = Sign{From: []string{"pod/worker", "node"}, To: []reach.TargetKind{reach.ClusterIP, reach.DNSName}, Field: "outcome", Got: []string{"Refused"}, Also: []string{"host"}}
		whole    = []reach.CellVerdict{
			cell("pod/worker", vip, reach.Fail, refused), cell("pod/worker", name, reach.Fail, missing, refused),
			cell("node/worker2", vip, reach.Fail, refused), cell("node/worker", name, reach.Fail, refused),
			cell("pod/worker2", vip, reach.Pass), cell("pod/worker", closed, reach.Pass),
		}
		arp       = CheckSign{Step: "one answers", Why: []string{"no node answers", "want exactly one"}}
		twoARP    = reach.Step{Name: "one answers … with fault x", Result: reach.Fail, Why: "2 answer, want exactly one"}
		notProbed = Sign{From: []string{"node/worker"}, Field: NotProbed}
	)
	some := sign
	some.Some = true
	with := func(more ...reach.CellVerdict) []reach.CellVerdict {
		return append(append([]reach.CellVerdict{}, whole...), more...)
	}
	for _, c := range []struct {
		about  string
		notice Notice
		steps  []reach.Step
		want   string // "noticed", "missed", or a part of Wrong
	}{
		{"every place tells", Notice{Signs: []Sign{sign}}, []reach.Step{table("who", whole...)}, "noticed"},
		{"a place that may tell does", Notice{Signs: []Sign{sign}}, []reach.Step{table("who", with(cell("host", vip, reach.Fail, timedOut))...)}, "noticed"},
		{"some cells of a place may be right", Notice{Signs: []Sign{sign}}, []reach.Step{table("who", with(cell("node/control-plane", vip, reach.Pass))...)}, "noticed"},
		{"nothing tells", Notice{Signs: []Sign{sign}}, []reach.Step{table("who", cell("pod/worker", vip, reach.Pass))}, "missed"},
		{"one place does not tell", Notice{Signs: []Sign{sign}}, []reach.Step{table("who", whole[:3]...)}, "no cell node → dns tells by outcome Refused"},
		{"one place is enough", Notice{Signs: []Sign{some}}, []reach.Step{table("who", whole[:1]...)}, "noticed"},
		{"one place is enough, and none tells", Notice{Signs: []Sign{some}}, []reach.Step{table("who", cell("pod/worker", vip, reach.Fail, timedOut))}, "no cell pod/worker"},
		{"it tells by another outcome", Notice{Signs: []Sign{sign}}, []reach.Step{table("who", append(whole[:3:3], cell("node/worker", name, reach.Fail, timedOut))...)}, "no cell node → dns"},
		{"another vantage tells too", Notice{Signs: []Sign{sign}}, []reach.Step{table("who", with(cell("pod/worker2", vip, reach.Fail, refused))...)}, "1 report the fault that should not, first pod/worker2"},
		{"another port tells too", Notice{Signs: []Sign{sign}}, []reach.Step{table("who", with(cell("pod/worker", closed, reach.Fail, timedOut))...)}, "1 report the fault that should not, first pod/worker → my-service clusterIP:81"},
		{"a prober fails meanwhile elsewhere", Notice{Signs: []Sign{sign}}, []reach.Step{table("who", with(cell("pod/worker2", vip, reach.Inconclusive))...)}, "1 report the fault that should not"},
		{"it could not be probed, and failed instead", Notice{Result: reach.Inconclusive, Signs: []Sign{notProbed}},
			[]reach.Step{table("who", cell("node/worker", vip, reach.Fail, timedOut))}, "came to Fail, want Inconclusive"},
		{"it could not be probed, and passed instead", Notice{Result: reach.Inconclusive, Signs: []Sign{notProbed}},
			[]reach.Step{table("who", cell("node/worker", vip, reach.Pass))}, "missed"},
		{"it could not be probed", Notice{Result: reach.Inconclusive, Signs: []Sign{notProbed}},
			[]reach.Step{table("who", cell("node/worker", vip, reach.Inconclusive), cell("pod/worker", vip, reach.Pass))}, "noticed"},
		{"a failure is wanted and the prober failed", Notice{Signs: []Sign{{From: []string{"node/worker"}, Field: "outcome"}}},
			[]reach.Step{table("who", cell("node/worker", vip, reach.Inconclusive))}, "came to Inconclusive, want Fail"},
		{"the check tells", Notice{Checks: []CheckSign{arp}}, []reach.Step{twoARP}, "noticed"},
		{"the check tells something else", Notice{Checks: []CheckSign{arp}}, []reach.Step{{Name: "one answers … with fault x", Result: reach.Fail, Why: "no address"}}, "1 report the fault that should not, first one answers: Fail: no address"},
		{"the check does not know", Notice{Checks: []CheckSign{arp}}, []reach.Step{{Name: "one answers", Result: reach.Inconclusive, Why: "2 answer, want exactly one"}}, "want Fail"},
		{"another step fails too", Notice{Checks: []CheckSign{arp}}, []reach.Step{{Name: "replace", Result: reach.Fail, Why: "no pods"}, twoARP}, "1 report the fault that should not, first replace"},
		{"table and check are both wanted", Notice{Signs: []Sign{sign}, Checks: []CheckSign{arp}}, []reach.Step{table("who", whole...)}, `step "one answers" does not tell`},
	} {
		told := c.notice.Read(c.steps)
		switch c.want {
		case "noticed":
			if !told.Noticed || told.Missed || told.Wrong != "" || told.By == "" {
				t.Errorf("%s: not noticed: %+v", c.about, told)
			}
		case "missed":
			if told.Noticed || !told.Missed {
				t.Errorf("%s: want it missed: %+v", c.about, told)
			}
		default:
			if told.Noticed || told.Missed || !strings.Contains(told.Wrong, c.want) {
				t.Errorf("%s: want %q in %+v", c.about, c.want, told)
			}
		}
	}
	told := Notice{Signs: []Sign{sign}}.Read([]reach.Step{table("who … with fault x", whole...)})
	if want := "who: pod/worker → my-service clusterIP:80/TCP: outcome: want Reached, got Refused (8 of 8 probes)"; told.By != want || told.More != 3 {
		t.Errorf("told by %q and %d more, want %q and 3 more", told.By, told.More, want)
	}
}
