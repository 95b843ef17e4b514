package report

import (
	"cmp"
	"embed"
	"fmt"
	"html/template"
	"io"
	"slices"
	"strings"

	"github.com/svclab/svclab/e2e/reach"
)

//go:embed page.html grid.html page.css palette.css picture.svg summary.md
var assets embed.FS

// HTML writes one page that needs no script, no font and no request. A cell shows its explanation when the pointer or
// the keyboard's focus is on it.
func HTML(w io.Writer, run Run) error {
	css, err := Styles()
	if err != nil {
		return err
	}
	t := run.Totals()
	p := page{Run: run, CSS: css, Title: cmp.Or(run.Tool, "svclab") + " report", Closing: strings.TrimPrefix(closing(run, t), ": "), Totals: t, Power: reach.Powers(run.Verdicts),
		Facts: clusterTerms(run), Filters: []filter{{"all", "all", len(run.Verdicts), true}, {"fail", "failed", t.Failed, false},
			{"unsure", "inconclusive", t.Inconclusive, false}, {"pass", "passed", t.Passed, false},
			{"skipped", "skipped", len(run.Verdicts) - t.Run, false}}}
	if run.Conformance != nil {
		p.Title = cmp.Or(run.Tool, "svclab") + " conformance report"
	}
	tables := 0
	return render(w, "page.html", p, template.FuncMap{
		"badge": badgeFor, "cells": cellCounts, "elapsed": elapsedText, "join": strings.Join, "short": short, "skipReason": skipReason, "thousands": thousands,
		"behaviourFilters": behaviourFilters, "conformanceTerms": conformanceTerms, "core": coreBehaviours,
		"bad":      func(r reach.Result) bool { return r == reach.Fail || r == reach.Inconclusive },
		"timeline": newPageTimeline,
		"table": func(t reach.Table, step string) pageTable {
			tables++
			return newPageTable(fmt.Sprintf("t%d", tables), t, step)
		},
	})
}

// Styles returns the style sheet of svclab's pages. It has a light and a dark theme.
func Styles() (template.CSS, error) { return styles("palette.css", "page.css") }

// HTMLGrid writes a table as an element for another page: the words of its cells, without what was expected and why.
func HTMLGrid(w io.Writer, t reach.Table) error {
	return render(w, "grid.html", newPageTable("", t, ""), nil)
}

// Palette is the style sheet with the colours of reports, light and dark, as custom properties.
func Palette() []byte {
	css, _ := assets.ReadFile("palette.css") // it is embedded
	return css
}

// styles joins style sheets of this package.
func styles(names ...string) (template.CSS, error) {
	var all template.CSS
	for _, name := range names {
		css, err := assets.ReadFile(name)
		if err != nil {
			return "", fmt.Errorf("read the style sheet: %w", err)
		}
		all += template.CSS(css) //nolint:gosec // our own file, no part of it comes from a run
	}
	return all, nil
}

// render executes one of this package's templates.
func render(w io.Writer, name string, data any, funcs template.FuncMap) error {
	t, err := template.New(name).Funcs(funcs).ParseFS(assets, name)
	if err != nil {
		return fmt.Errorf("parse %s: %w", name, err)
	}
	if err := t.Execute(w, data); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}

// page is what page.html shows.
type page struct {
	Run
	CSS            template.CSS
	Title, Closing string
	Totals         Totals
	Power          []reach.Power
	Facts          []term
	Filters        []filter
}

// badge is a result with its mark and CSS class: colour is never the only sign.
type badge struct{ Class, Mark, Word string }

func badgeFor(r reach.Result) badge {
	class := map[reach.Result]string{reach.Pass: "pass", reach.Fail: "fail", reach.Inconclusive: "unsure"}[r]
	return badge{Class: cmp.Or(class, "skipped"), Mark: Style{}.glyphs().mark(r), Word: string(r)}
}

// term is a label and its text; Code is a command, Link a document's address.
type term struct{ Label, Text, Code, Link string }

// filter is one of the choices of what to show.
type filter struct {
	Class, Label string
	Count        int
	Chosen       bool
}

type pageTable struct {
	ID      string
	Caption string
	Bare    bool // the caption repeats the step's heading just above it
	Heads   []pageHead
	Subs    []string
	Rows    []pageRow
	Columns int // with the row headers'
}

// pageHead is a kind of vantage over its slots, or, with Whole, a vantage that has none.
type pageHead struct {
	Name  string
	Span  int
	Whole bool
}

// pageRow is a target, or a Service's heading when it has no cells.
type pageRow struct {
	Service, Kind string
	Place         []string // cut where a line may break
	Cells         []pageCell
}

type pageCell struct {
	ID, Class, Mark, Word, State string
	Where                        string
	Terms                        []term
}

func clusterTerms(run Run) []term {
	c := run.Cluster
	return slices.DeleteFunc([]term{{Label: "Cluster", Text: c.Name}, {Label: "Kubernetes", Text: c.Kubernetes}, {Label: "kube-proxy", Text: c.proxy()}, {Label: "CoreDNS", Text: c.CoreDNS},
		{Label: "IP families", Text: strings.Join(c.Families, ", ")}, {Label: "Nodes", Text: c.nodeNames(", ")},
		{Label: "Provider", Text: c.Provider}, {Label: "Engine", Text: c.Engine},
		{Label: "Tool", Text: strings.TrimSpace(run.Tool + " " + run.Version)}}, func(fact term) bool { return fact.Text == "" })
}

// behaviourFilters are the choices of which behaviours to show.
func behaviourFilters(c Conformance) []filter {
	n := c.Statistics.Behaviours
	return []filter{{"all", "all", n.Total, true}, {"fail", "failed", n.Failed, false}, {"unsure", "inconclusive", n.Inconclusive, false},
		{"pass", "passed", n.Passed, false}, {"skipped", "not verified", n.Skipped, false}}
}

// coreBehaviours counts the behaviours of profile core where there are others too.
func coreBehaviours(c Conformance) (n int) {
	for _, b := range c.Behaviours {
		if b.Profile == "core" {
			n++
		}
	}
	return n % max(1, len(c.Behaviours))
}

func conformanceTerms(c Conformance) []term {
	terms := []term{{Label: "Vantages", Text: vantageLine(c.Vantages)},
		{Label: "Proxy mode", Text: strings.Trim(c.Cluster.ProxyMode+", "+c.ProxySource, ", ")}, {Label: "Image", Text: c.Image}}
	for _, f := range c.Features {
		terms = append(terms, term{Label: "Feature " + f.Name, Text: strings.TrimPrefix(f.String(), f.Name+": ")})
	}
	return terms
}

func newPageTable(id string, table reach.Table, step string) pageTable {
	v := newView(table)
	out := pageTable{ID: id, Caption: cmp.Or(table.Title, step), Bare: table.Title == "" || table.Title == step, Columns: 1 + len(table.Vantages)}
	for _, vantage := range table.Vantages {
		head, sub := splitVantage(vantage.Name)
		if sub != "" {
			out.Subs = append(out.Subs, sub)
			if n := len(out.Heads); n > 0 && out.Heads[n-1].Name == head && !out.Heads[n-1].Whole {
				out.Heads[n-1].Span++
				continue
			}
		}
		out.Heads = append(out.Heads, pageHead{Name: head, Span: 1, Whole: sub == ""})
	}
	last := ""
	for _, ti := range v.byService {
		t := table.Targets[ti]
		if t.Service != last {
			last = t.Service
			out.Rows = append(out.Rows, pageRow{Service: t.Service})
		}
		row := pageRow{Kind: string(t.Kind), Place: breakable(place(t, false, unbroken, "…"))}
		for vi, c := range v.cells[ti] {
			cell := pageCell{ID: fmt.Sprintf("%s-%d-%d", id, ti, vi)}
			if c != nil {
				cell = newPageCell(cell.ID, c)
			}
			row.Cells = append(row.Cells, cell)
		}
		out.Rows = append(out.Rows, row)
	}
	return out
}

// breakable cuts s after the marks at which an address or a name may break: not between numbers.
func breakable(s string) []string {
	var parts []string
	start := 0
	for i := 1; i < len(s); i++ {
		letter := s[i] >= 'a' && s[i] <= 'z'
		if mark := s[i-1]; mark == ':' || mark == '/' || letter && (mark == '.' || mark == '-') {
			parts = append(parts, s[start:i])
			start = i
		}
	}
	return append(parts, s[start:])
}

// unbroken is wide enough for any name: a browser breaks lines itself.
const unbroken = 1 << 10

func newPageCell(id string, c *reach.CellVerdict) pageCell {
	mark, text := newPrinter(Style{}).gridCell(c)
	cell := pageCell{ID: id, Mark: mark, Word: text,
		Where: c.Cell.Target.Service + " " + string(c.Cell.Target.Kind) + " " + place(c.Cell.Target, false, unbroken, "…") + " from " + c.Cell.Vantage.Name}
	cell.Class, cell.State = cellClass(c)
	add := func(label, text string) {
		if text != "" {
			cell.Terms = append(cell.Terms, term{Label: label, Text: text})
		}
	}
	if c.Result == reach.Skipped || c.Result == reach.Inconclusive {
		add("why", cmp.Or(c.Why, "no reason was given"))
	} else {
		if c.Expected == nil || expected(*c.Expected) == expected(c.Oracle) {
			add("expected", expected(c.Oracle))
		} else {
			add("oracle", expected(c.Oracle))
			add("expected", expected(*c.Expected))
		}
		add("because", c.Oracle.Reason)
		if c.Oracle.Rule != "" || c.Oracle.Doc != "" {
			cell.Terms = append(cell.Terms, docTerm(c.Oracle))
		}
		add("observed", observed(c.Cell.Observations, "×"))
	}
	if c.Result == reach.Fail {
		for _, d := range c.Differences {
			add("differs", d.String())
		}
		add("alone", alone(*c))
		add("traced", c.Traced)
		if !repeats(c) {
			add("why", c.Why)
		}
	}
	if c.Cell.Repeat != "" && c.Result != reach.Skipped {
		cell.Terms = append(cell.Terms, term{Label: "repeat", Code: c.Cell.Repeat})
	}
	return cell
}

func docTerm(p reach.Prediction) term {
	t := term{Label: "rule", Text: p.Rule}
	if strings.HasPrefix(p.Doc, "https://") {
		t.Link = p.Doc
	} else if p.Doc != "" {
		t.Text = strings.TrimSpace(t.Text + " " + p.Doc)
	}
	return t
}

// cellClass is the CSS class of a cell and what a screen reader says before its word.
func cellClass(c *reach.CellVerdict) (class, state string) {
	switch c.Result {
	case reach.Fail:
		return "differ", "differs:"
	case reach.Inconclusive:
		return "unsure", "could not be probed:"
	case reach.Skipped:
		return "unprobed", "not probed"
	}
	if reached(*c) {
		return "reached", "as expected:"
	}
	if patience(c.Cell.Observations) > 0 {
		return "timeout", "as expected:"
	}
	return "denied", "as expected:"
}
