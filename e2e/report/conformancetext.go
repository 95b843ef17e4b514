package report

import (
	"fmt"
	"io"
	"strings"

	"github.com/svclab/svclab/e2e/reach"
)

// ConformanceText writes a line for each behaviour, the tables of what did not pass, and the counts. With Style.Verbose
// it writes every scenario, as [Text] does.
func ConformanceText(w io.Writer, run Run, style Style) error {
	c := run.Conformance
	if c == nil {
		return Text(w, run, style)
	}
	p := newPrinter(style)
	p.spread(0, inkBold, strings.TrimSpace(run.Tool+" "+run.Version)+", conformance, profile "+c.Profile, run.Started.UTC().Format("2006-01-02 15:04:05 UTC"))
	p.para(0, 2, inkDim, clusterLine(run.Cluster, p.dot))
	p.blank()
	for _, v := range run.Verdicts {
		if p.Verbose || v.Result == reach.Fail || v.Result == reach.Inconclusive {
			p.scenario(v)
			p.blank()
		}
	}
	p.behaviours(*c)
	p.blank()
	p.row("vantages", vantageLine(c.Vantages))
	p.list("features", len(c.Features), func(i int) (ink, string) { return inkNone, c.Features[i].String() })
	p.row("behaviours", c.Statistics.Behaviours.String())
	p.summary(run)
	return p.flush(w)
}

// behaviours writes a line for each behaviour, and below it why it did not pass or was not verified.
func (p *printer) behaviours(c Conformance) {
	for _, b := range c.Behaviours {
		text := p.mark(b.Result) + " " + padRight(b.ID, 26) + b.Text
		p.para(0, 28, inkFor(b.Result), text)
		if b.Result == reach.Pass && !p.Verbose {
			if b.Partial {
				p.para(28, 2, inkDim, partly(b))
			}
			continue
		}
		for _, why := range b.Reasons {
			p.para(28, 2, inkDim, why)
		}
	}
}

// partly says of a behaviour that passed how much of it was left out.
func partly(b BehaviourResult) string {
	return fmt.Sprintf("in part: %s left out on this cluster", plural(len(b.Reasons), "thing"))
}

// vantageLine says where the probes came from.
func vantageLine(v Vantages) string {
	text := fmt.Sprintf("%d of %s", v.Sampled, plural(v.Nodes, "node"))
	if !v.Whole {
		text += fmt.Sprintf(", sampled by seed %d", v.Seed)
	}
	for _, kind := range []string{string(reach.Outside), string(reach.Host)} {
		if why := v.Unusable[kind]; why != "" {
			text += fmt.Sprintf("; not probed from %s: %s", kind, why)
		}
	}
	return text
}

// behaviourCases are a test case for each behaviour.
func behaviourCases(c Conformance) []TestCase {
	var cases []TestCase
	for _, b := range c.Behaviours {
		row := TestCase{Class: "conformance." + b.Profile, Name: b.ID + ": " + b.Text, Result: b.Result}
		why := strings.Join(b.Reasons, "\n")
		if b.Result == reach.Pass {
			row.Out = why
		} else {
			row.Message, _, _ = strings.Cut(why, "\n")
			row.Text = why
		}
		cases = append(cases, row)
	}
	return cases
}
