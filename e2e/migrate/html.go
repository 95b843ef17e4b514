package migrate

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"strings"

	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/report"
)

//go:embed page.html
var pageText string

// mostRows is how many cells of a cause the page shows.
const mostRows = 200

// HTML writes the report as one page that needs no script, no font and no request, in the look of package report.
func (r Report) HTML(w io.Writer) error {
	css, err := report.Styles()
	if err != nil {
		return err
	}
	p := page{Report: r, CSS: css, Summary: r.summary(), Same: r.Services - len(r.Changed)}
	for _, f := range r.Nodes {
		if f.Blocks {
			p.Blocked++
		}
	}
	for _, g := range r.Groups {
		if made := newPageGroup(g); g.Declared {
			p.Declared = append(p.Declared, made)
		} else {
			p.Other = append(p.Other, made)
		}
	}
	t, err := template.New("page").Funcs(template.FuncMap{"join": strings.Join, "count": count}).Parse(pageText)
	if err != nil {
		return fmt.Errorf("parse page.html: %w", err)
	}
	if err := t.Execute(w, p); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}

// page is what page.html shows.
type page struct {
	Report
	CSS             template.CSS
	Summary         string
	Same, Blocked   int
	Declared, Other []pageGroup
}

// pageGroup is a Group as the page shows it.
type pageGroup struct {
	Group
	Class, Rule string
	Sourced     bool
	Total       int
	Rows        []pageRow
}

// pageRow is one cell before and after.
type pageRow struct {
	Service, Kind, Place, Client string
	Before, After                pageAnswer
}

type pageAnswer struct{ Class, Text string }

func newPageGroup(g Group) pageGroup {
	// colour is never the only sign: the badge says the effect in words
	class := map[Effect]string{Stops: "fail", MayStop: "unsure", Moves: "unsure", Source: "unsure", Starts: "pass", Fails: "skipped"}[g.Effect]
	made := pageGroup{Group: g, Class: class, Rule: rules(g.Rules), Sourced: g.Effect == Source, Total: len(g.Changes)}
	for _, c := range g.Changes[:min(len(g.Changes), mostRows)] {
		service := c.Target.Service
		if service == "" {
			service = "no Service"
		}
		made.Rows = append(made.Rows, pageRow{Service: service, Kind: string(c.Target.Kind), Place: fmt.Sprintf("%s port %d/%s", c.Target.Host, c.Target.Port, c.Target.Protocol),
			Client: c.Vantage.Name, Before: newPageAnswer(c.Before), After: newPageAnswer(c.After)})
	}
	return made
}

func newPageAnswer(p reach.Prediction) pageAnswer {
	class := "denied"
	switch {
	case p.Allows(reach.Reached):
		class = "reached"
	case p.Allows(reach.TimedOut):
		class = "timeout"
	}
	return pageAnswer{Class: class, Text: answer(p)}
}
