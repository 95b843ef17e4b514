package report

import (
	"strings"

	"github.com/svclab/svclab/e2e/reach"
)

// pageConformance is what page.html shows of a conformance report.
type pageConformance struct {
	Profile, Only string
	Counts        ResultCount
	Filters       []filter
	Core          int // behaviours of profile core, where there are others too
	Rows          []pageBehaviour
	Facts         []term
	Reproduce     string
}

// pageBehaviour is one behaviour's row. Part says that something of it was left out.
type pageBehaviour struct {
	badge
	ID, Text, Profile, Part string
	Reasons                 []string
	Scenarios               []string
	Open                    bool
}

func newPageConformance(c *Conformance) *pageConformance {
	if c == nil {
		return nil
	}
	n := c.Statistics.Behaviours
	p := &pageConformance{Profile: c.Profile, Only: strings.Join(c.Only, ", "), Counts: n, Reproduce: strings.Join(c.Reproduce, "\n"),
		Filters: []filter{{"all", "all", n.Total, true}, {"fail", "failed", n.Failed, false}, {"unsure", "inconclusive", n.Inconclusive, false},
			{"pass", "passed", n.Passed, false}, {"skipped", "not verified", n.Skipped, false}},
		Facts: []term{{Label: "Vantages", Text: vantageLine(c.Vantages)}, {Label: "Proxy mode", Text: strings.Trim(c.Cluster.ProxyMode+", "+c.ProxySource, ", ")},
			{Label: "Image", Text: c.Image}}}
	for _, f := range c.Features {
		p.Facts = append(p.Facts, term{Label: "Feature " + f.Name, Text: strings.TrimPrefix(f.String(), f.Name+": ")})
	}
	for _, b := range c.Behaviours {
		row := pageBehaviour{badge: badgeFor(b.Result), ID: b.ID, Text: b.Text, Profile: b.Profile, Reasons: b.Reasons, Scenarios: b.Scenarios,
			Open: b.Result == reach.Fail || b.Result == reach.Inconclusive}
		if b.Partial {
			row.Part = "in part"
		}
		if b.Profile == "core" {
			p.Core++
		}
		p.Rows = append(p.Rows, row)
	}
	if p.Core == len(p.Rows) {
		p.Core = 0
	}
	return p
}
