package scenario

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
)

// Describe prints what a scenario will do and expects, from its data alone: it needs no cluster and makes no
// prediction.
func Describe(w io.Writer, s Scenario) error {
	p := &printer{w: w}
	p.line("%s: %s", s.Name, s.Title)
	p.line("  verifies %s", strings.Join(s.Behaviours, ", "))
	if text := s.Needs.String(); text != "" {
		p.line("  needs    %s", text)
	}
	if len(s.Claims) > 0 {
		p.line("  claims   %s", strings.Join(s.Claims, ", "))
	}
	if len(s.Shares) > 0 {
		p.line("  shares   %s", strings.Join(s.Shares, ", "))
	}
	if s.Serial {
		p.line("  runs alone: it touches the cluster itself")
	}
	for i, step := range s.Steps {
		where := ""
		if step.Family != "" {
			where = ", where the cluster has " + step.Family
		}
		if step.Gate != "" {
			where += ", where the API server has the feature gate " + step.Gate + " on"
		}
		p.line("  %2d. %s: %s%s", i+1, step.Name, step.Action.Describe(), where)
		for _, name := range step.Tables() {
			p.table(name, s.Tables[name])
		}
	}
	return p.err
}

// String says the needs in a line; empty where there are none.
func (n Needs) String() string {
	var parts []string
	if n.Nodes > 0 {
		parts = append(parts, fmt.Sprintf("%d nodes", n.Nodes))
	}
	for _, f := range n.Features {
		parts = append(parts, string(f))
	}
	if len(n.ProxyModes) > 0 {
		parts = append(parts, "kube-proxy in mode "+strings.Join(n.ProxyModes, " or "))
	}
	return strings.Join(parts, ", ")
}

// String says what a row matches and expects, in a line.
func (r Row) String() string {
	text := fmt.Sprintf("from %s to %s: %s", strings.Join(r.From, ", "), r.To, r.Outcome)
	if r.By != nil {
		text += " by " + r.By.String()
	}
	return text
}

// printer keeps the first error of writing.
type printer struct {
	w   io.Writer
	err error
}

func (p *printer) line(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, format+"\n", args...)
	}
}

// table prints the rows in columns; a column that no row uses is left out.
func (p *printer) table(name string, t Table) {
	title := t.Title
	if title == "" {
		title = name
	}
	scope := ""
	if len(t.Services) > 0 {
		scope += " of " + strings.Join(t.Services, ", ")
	}
	if t.App != "" {
		scope += ", pods with " + t.App
	}
	if t.Clients != "" {
		scope += ", probed by pods with " + t.Clients
	}
	if t.EachFamily {
		scope += ", in each IP family"
	}
	p.line("      expected table %q%s", title, scope)
	for _, x := range t.Extra {
		p.line("      probed as well: %s at %s:%d", x.Kind, x.Host, x.Port)
	}
	columns := []struct {
		head string
		cell func(Row) string
	}{
		{"FROM", func(r Row) string { return strings.Join(r.From, ", ") }},
		{"TO", func(r Row) string { return r.To.String() }},
		{"OUTCOME", func(r Row) string { return r.Outcome.String() }},
		{"ANSWERED BY", func(r Row) string {
			if r.By == nil {
				return ""
			}
			return r.By.String()
		}},
		{"WHO SEES", func(r Row) string { return strings.Join(r.Sees, ", ") }},
		{"CNAME", func(r Row) string { return r.CNAME }},
		{"HOST", func(r Row) string { return r.Host }},
		{"BECAUSE", func(r Row) string { return r.Because }},
	}
	columns = slices.DeleteFunc(columns, func(c struct {
		head string
		cell func(Row) string
	}) bool {
		return !slices.ContainsFunc(t.Rows, func(r Row) bool { return c.cell(r) != "" })
	})
	var text strings.Builder
	tabs := tabwriter.NewWriter(&text, 0, 4, 2, ' ', 0)
	put := func(cells []string) { fmt.Fprintln(tabs, "      "+strings.Join(cells, "\t")) }
	cells := make([]string, len(columns))
	for i, c := range columns {
		cells[i] = c.head
	}
	put(cells)
	for _, row := range t.Rows {
		for i, c := range columns {
			cells[i] = c.cell(row)
			if cells[i] == "" {
				cells[i] = "-"
			}
		}
		put(cells)
	}
	if err := tabs.Flush(); p.err == nil {
		p.err = err
	}
	for line := range strings.Lines(text.String()) {
		p.line("%s", strings.TrimRight(line, " \n"))
	}
}
