package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/svclab/svclab/e2e/reach"
)

const (
	mostSlow     = 5
	mostReasons  = 12
	summaryField = 12
)

func (p *printer) summary(run Run) {
	t := run.Totals()
	p.line(0, p.paint(inkBold, "Summary"))
	p.row("cluster", clusterLine(run.Cluster, p.dot))
	p.row("scenarios", scenarioCounts(t))
	if s := run.Shard; s != nil {
		p.row("shard", fmt.Sprintf("%d of %d: %d of %s; svclab merge joins the results of all", s.Index, s.Of, len(run.Plan.Planned), plural(len(s.All), "scenario")))
	}
	p.row("cells", cellCounts(t.Cells))
	p.row("probes", fmt.Sprintf("%s, each a new connection or datagram", thousands(t.Probes)))
	powers := reach.Powers(run.Verdicts)
	p.list("noticed", len(powers), func(i int) (ink, string) { return inkDim, powers[i].String() })
	if t.Cells.Cells > 0 {
		p.row("marks", fmt.Sprintf("%s reached, as expected; no mark: not reached, as expected; %s differs; %s could not be probed; %s not probed on purpose",
			p.good, p.bad, p.unsure, p.skipped))
	}
	p.list("skipped", len(run.Skips()), func(i int) (ink, string) {
		s := run.Skips()[i]
		return inkDim, p.skipped + " " + s.Scenario + ": " + s.Reason
	})
	p.list("not probed", len(t.Unprobed), func(i int) (ink, string) {
		return inkDim, fmt.Sprintf("%s %s: %s", p.skipped, plural(t.Unprobed[i].Count, "cell"), t.Unprobed[i].Reason)
	})
	lost := run.Lost()
	p.list("lost", len(lost), func(i int) (ink, string) {
		return inkWarn, p.unsure + " " + lost[i] + ": planned, but the run ended without it"
	})
	troubles := troublesOf(run)
	p.list("not passed", len(troubles), func(i int) (ink, string) {
		return inkFor(troubles[i].result), p.mark(troubles[i].result) + " " + troubles[i].text
	})
	slow := run.Slowest(mostSlow)
	p.list("slowest", len(slow), func(i int) (ink, string) {
		return inkNone, fmt.Sprintf("%8s  %s", short(slow[i].Elapsed), slow[i].Scenario)
	})
	p.blank()
	p.para(0, 2, inkFor(run.Result()), fmt.Sprintf("%s after %s (exit %d)%s",
		p.label(run.Result()), short(run.Elapsed), run.Result().ExitCode(), closing(run, t)))
}

// closing says why a run did not pass when no scenario says so.
func closing(run Run, t Totals) string {
	switch {
	case t.Run == 0:
		return ": no scenario ran, and a run that verified nothing is no pass"
	case t.Lost > 0 && t.Failed == 0:
		return ": " + plural(t.Lost, "planned scenario") + " did not run"
	case run.Result() == reach.Inconclusive:
		return ": a part could not be probed, so it was not judged"
	}
	return ""
}

func (p *printer) row(label, text string) {
	p.labelled(2, summaryField, 0, label, inkNone, text)
}

// list prints a label and its items below each other, or nothing when there are none.
func (p *printer) list(label string, n int, item func(i int) (ink, string)) {
	for i := range min(n, mostReasons) {
		if i > 0 {
			label = ""
		}
		inked, text := item(i)
		p.labelled(2, summaryField, 2, label, inked, text)
	}
	if n > mostReasons {
		p.line(2+summaryField, p.paint(inkDim, fmt.Sprintf("and %d more", n-mostReasons)))
	}
}

// trouble is one step, or one scenario, that did not pass.
type trouble struct {
	result reach.Result
	text   string
}

// troublesOf lists the steps that failed, then those that are inconclusive. A scenario that did not pass
// though all its steps did is listed itself.
func troublesOf(run Run) []trouble {
	var out []trouble
	for _, result := range []reach.Result{reach.Fail, reach.Inconclusive} {
		for _, v := range run.Verdicts {
			told := false
			for _, s := range v.Steps {
				if s.Result == result {
					out = append(out, trouble{result, v.Scenario + " / " + s.Name + ": " + stepWhy(s)})
				}
				told = told || s.Result == v.Result
			}
			if v.Result == result && !told {
				out = append(out, trouble{result, v.Scenario + ": " + resultWord(v.Result) + ", although no step is"})
			}
		}
	}
	return out
}

// stepWhy is a step's own reason. If it has none, it is how many cells share its result, and the first one's reason.
func stepWhy(s reach.Step) string {
	if s.Why != "" {
		return s.Why
	}
	var first *reach.CellVerdict
	found, all := 0, 0
	for _, t := range s.Tables {
		for i, c := range t.Cells {
			all++
			if c.Result != s.Result {
				continue
			}
			found++
			if first == nil {
				first = &t.Cells[i]
			}
		}
	}
	if first == nil {
		return "no reason was given"
	}
	why := cmp.Or(first.Why, "no reason was given")
	if len(first.Differences) > 0 {
		why = first.Differences[0].String()
	}
	what := verb(found, "differs", "differ")
	if s.Result == reach.Inconclusive {
		what = "could not be probed"
	}
	return fmt.Sprintf("%d of %s %s; %s from %s: %s", found, plural(all, "cell"), what,
		first.Cell.Target.Name(), first.Cell.Vantage.Name, why)
}

func scenarioCounts(t Totals) string {
	text := fmt.Sprintf("%d planned, %d run: %d passed, %d failed, %d inconclusive; %d skipped", t.Planned, t.Run, t.Passed, t.Failed, t.Inconclusive, t.Skipped)
	if t.Lost > 0 {
		text += fmt.Sprintf("; %d lost", t.Lost)
	}
	return text
}

func cellCounts(c CellTotals) string {
	return fmt.Sprintf("%s: %s as expected, %s %s, %s could not be probed, %s not probed on purpose", thousands(c.Cells),
		thousands(c.AsExpected), thousands(c.Differ), verb(c.Differ, "differs", "differ"), thousands(c.Unknown), thousands(c.Unprobed))
}

// clusterLine is the cluster's facts in a line; unknown ones are left out.
func clusterLine(c Cluster, dot string) string {
	facts := []string{c.Name}
	if c.Kubernetes != "" {
		facts = append(facts, "Kubernetes "+c.Kubernetes)
	}
	if c.ProxyMode != "" {
		facts = append(facts, "kube-proxy "+c.proxy())
	}
	facts = append(facts, strings.Join(c.Families, "+"))
	if len(c.Nodes) > 0 {
		facts = append(facts, plural(len(c.Nodes), "node"))
	}
	facts = append(facts, c.Provider, c.Engine)
	known := slices.DeleteFunc(facts, func(fact string) bool { return fact == "" })
	if len(known) == 0 {
		return "unknown cluster"
	}
	return strings.Join(known, dot+" ")
}

// thousands prints n with a comma at every third digit.
func thousands(n int) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
