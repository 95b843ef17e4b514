package report

import (
	"fmt"
	"slices"
	"strings"

	"github.com/svclab/svclab/e2e/reach"
)

// grid is a table laid out: targets down, vantages across, under their kinds.
type grid struct {
	rows    []gridRow
	columns []gridColumn
	label   int // width of the rows' labels
	corner  string
	// shortened are the columns whose names did not fit, with their full names.
	shortened [][2]string
}

type gridRow struct {
	label string
	// target is the row's position in the view, -1 for a Service's heading.
	target int
}

// gridColumn is one vantage, or several of one kind whose cells are all equal.
type gridColumn struct {
	head  string
	subs  []string // one a line
	width int
	// vantage is the position of the first.
	vantage int
}

const (
	// slotWidth bounds a column's name, fullLabel and shortLabel a row's label.
	slotWidth  = 16
	fullLabel  = 58
	shortLabel = 36
)

// layout lays v out for a line of at most room columns. It tries the full labels, then short labels, then equal
// columns merged. A grid that is still too wide is cut by the caller: see bands.
func (p *printer) layout(v *view, room int) grid {
	var g grid
	for _, try := range []struct{ short, merge bool }{{false, false}, {true, false}, {false, true}, {true, true}} {
		g = p.layoutWith(v, try.short, try.merge)
		if g.span(g.columns) <= room {
			break
		}
	}
	return g
}

func (p *printer) layoutWith(v *view, short, merge bool) grid {
	longest := fullLabel
	if short {
		longest = shortLabel
	}
	var g grid
	kind := 0
	for _, t := range v.table.Targets {
		kind = max(kind, Width(string(t.Kind)))
	}
	if len(v.services) == 1 {
		g.corner = shorten(v.services[0], longest, p.ellipsis)
	}
	g.label = Width(g.corner)
	for i, ti := range v.byService {
		t := v.table.Targets[ti]
		if len(v.services) > 1 && (i == 0 || v.table.Targets[v.byService[i-1]].Service != t.Service) {
			g.rows = append(g.rows, gridRow{label: shorten(t.Service, longest, p.ellipsis), target: -1})
		}
		label := padRight(string(t.Kind), kind) + " " + place(t, short, longest-kind-1, p.ellipsis)
		g.rows = append(g.rows, gridRow{label: label, target: ti})
	}
	distinguish(g.rows, v)
	if p.Merge {
		g.rows = p.mergeRows(g.rows, v, kind, longest)
	}
	for _, r := range g.rows {
		g.label = max(g.label, Width(r.label))
	}
	g.columns, g.shortened = p.columns(v, merge || p.Merge)
	return g
}

func (p *printer) columns(v *view, merge bool) (columns []gridColumn, shortened [][2]string) {
	same := map[string]int{} // what a column says → where it is
	for vi, vantage := range v.table.Vantages {
		head, sub := splitVantage(vantage.Name)
		c := gridColumn{head: shorten(head, slotWidth, p.ellipsis), vantage: vi, width: 1}
		cut := shorten(sub, slotWidth, p.ellipsis)
		if c.head != head || cut != sub {
			shortened = append(shortened, [2]string{strings.TrimSuffix(c.head+"/"+cut, "/"), vantage.Name})
		}
		said := head
		for ti := range v.cells {
			mark, text := p.gridCell(v.cells[ti][vi])
			c.width = max(c.width, Width(strings.TrimRight(mark+" "+text, " ")))
			said += "\x00" + mark + text
		}
		at, known := same[said]
		if !merge || !known || sub == "" {
			columns = append(columns, c)
			at = len(columns) - 1
			same[said] = at
		}
		if sub != "" {
			columns[at].subs = append(columns[at].subs, cut)
			columns[at].width = max(columns[at].width, Width(cut))
		}
	}
	for i, c := range columns {
		columns[i].subs = condense(c.subs)
	}
	widen(columns)
	return columns, shortened
}

// mergeRows joins successive rows of one port whose targets differ only in the node and whose cells are all equal. kind is the
// width of the targets' kinds, longest bounds a label.
func (p *printer) mergeRows(rows []gridRow, v *view, kind, longest int) []gridRow {
	var merged []gridRow
	var slots []string
	for _, r := range rows {
		last := len(merged) - 1
		if r.target < 0 || last < 0 || merged[last].target < 0 || !p.alike(v, merged[last].target, r.target) {
			merged, slots = append(merged, r), nil
			continue
		}
		first, t := v.table.Targets[merged[last].target], v.table.Targets[r.target]
		if slots == nil {
			slots = []string{first.Slot}
		}
		slots = append(slots, t.Slot)
		first.Slot, first.Pod = strings.Join(slots, ", "), ""
		if label := padRight(string(t.Kind), kind) + " " + place(first, true, Width(first.Slot)+minHost, p.ellipsis); Width(label) <= longest {
			merged[last].label = label
			continue
		}
		first.Slot = fmt.Sprintf("%d nodes", len(slots))
		merged[last].label = padRight(string(t.Kind), kind) + " " + place(first, true, longest, p.ellipsis)
	}
	return merged
}

// alike reports whether two targets differ only in their node, and all their cells say the same.
func (p *printer) alike(v *view, a, b int) bool {
	s, t := v.table.Targets[a], v.table.Targets[b]
	if s.Slot == "" || t.Slot == "" || s.Kind == reach.Endpoint || s.IPFamily() != t.IPFamily() {
		return false
	}
	s.Slot, s.Node, s.Host = t.Slot, t.Node, t.Host
	if s != t {
		return false
	}
	for vi := range v.table.Vantages {
		markA, textA := p.gridCell(v.cells[a][vi])
		markB, textB := p.gridCell(v.cells[b][vi])
		if markA != markB || textA != textB {
			return false
		}
	}
	return true
}

// condense shortens the head of a column that has many vantages.
func condense(subs []string) []string {
	const most = 4
	if len(subs) <= most {
		return subs
	}
	return append(slices.Clone(subs[:most-1]), fmt.Sprintf("%d more", len(subs)-most+1))
}

// distinguish gives rows their targets' full names if their labels became equal.
func distinguish(rows []gridRow, v *view) {
	type key struct{ service, label string }
	count := map[key]int{}
	of := func(r gridRow) key { return key{v.table.Targets[r.target].Service, r.label} }
	for _, r := range rows {
		if r.target >= 0 {
			count[of(r)]++
		}
	}
	for i, r := range rows {
		if r.target >= 0 && count[of(r)] > 1 {
			rows[i].label = v.table.Targets[r.target].Name()
		}
	}
}

// widen makes the columns of a kind together at least as wide as the kind's name.
func widen(columns []gridColumn) {
	for _, group := range byHead(columns) {
		total := 2 * (len(group) - 1)
		for _, c := range group {
			total += c.width
		}
		group[len(group)-1].width += max(0, Width(group[0].head)-total)
	}
}

// byHead cuts the columns where the kind changes.
func byHead(columns []gridColumn) [][]gridColumn {
	var groups [][]gridColumn
	start := 0
	for i := range columns {
		if i > start && columns[i].head != columns[start].head {
			groups = append(groups, columns[start:i])
			start = i
		}
	}
	if len(columns) > 0 {
		groups = append(groups, columns[start:])
	}
	return groups
}

// span is the width of a line with these columns: a bar takes three, a gap two.
func (g grid) span(columns []gridColumn) int {
	total := g.label
	for _, group := range byHead(columns) {
		total += 3 + 2*(len(group)-1)
		for _, c := range group {
			total += c.width
		}
	}
	return total
}

// bands cuts the columns into as few runs as fit into room, each at least one column.
func (g grid) bands(room int) [][]gridColumn {
	var bands [][]gridColumn
	start := 0
	for i := range g.columns {
		if i > start && g.span(g.columns[start:i+1]) > room {
			bands = append(bands, g.columns[start:i])
			start = i
		}
	}
	if start < len(g.columns) {
		bands = append(bands, g.columns[start:])
	}
	return bands
}

// gridCell is a cell's mark and word.
func (p *printer) gridCell(c *reach.CellVerdict) (mark, text string) {
	switch {
	case c == nil:
		return " ", ""
	case c.Result == reach.Pass && !reached(*c):
		return " ", word(*c)
	}
	return p.mark(c.Result), word(*c)
}

func cellInk(c *reach.CellVerdict) ink {
	if c == nil || c.Result == reach.Pass && !reached(*c) {
		return inkNone
	}
	return inkFor(c.Result)
}

// printGrid prints the table, in bands when it is too wide for one.
func (p *printer) printGrid(indent int, v *view) {
	room := p.width() - indent
	g := p.layout(v, room)
	for i, band := range g.bands(room) {
		if i > 0 {
			p.blank()
		}
		p.printBand(indent, v, g, band)
	}
	for _, s := range g.shortened {
		p.para(indent, 2, inkDim, s[0]+" is "+s[1])
	}
}

func (p *printer) printBand(indent int, v *view, g grid, band []gridColumn) {
	groups := byHead(band)
	lines := 0
	for _, c := range band {
		lines = max(lines, len(c.subs))
	}
	corner := func(last bool) string {
		if last {
			return p.paint(inkBold, padRight(g.corner, g.label))
		}
		return padRight("", g.label)
	}
	heads := corner(lines == 0)
	rule := strings.Repeat(p.rule, g.label)
	for _, group := range groups {
		span := grid{}.span(group) - 3
		heads += p.paint(inkDim, p.bar) + p.edge + p.paint(inkBold, padRight(group[0].head, span))
		rule += p.cross + p.rule + strings.Repeat(p.rule, span)
	}
	p.line(indent, heads)
	for n := range lines {
		p.line(indent, p.gridLine(groups, corner(n == lines-1), func(c gridColumn) string {
			sub := ""
			if n < len(c.subs) {
				sub = c.subs[n]
			}
			return p.paint(inkBold, padRight(sub, c.width))
		}))
	}
	p.line(indent, p.paint(inkDim, rule))
	for _, r := range g.rows {
		if r.target < 0 {
			p.line(indent, p.paint(inkBold, r.label))
			continue
		}
		p.line(indent, p.gridLine(groups, p.paint(inkNone, padRight(r.label, g.label)), func(c gridColumn) string {
			cell := v.cells[r.target][c.vantage]
			mark, text := p.gridCell(cell)
			return p.paint(cellInk(cell), padRight(strings.TrimRight(mark+" "+text, " "), c.width))
		}))
	}
}

// gridLine joins a label and one text per column.
func (p *printer) gridLine(groups [][]gridColumn, label string, text func(gridColumn) string) string {
	var b strings.Builder
	b.WriteString(label)
	for _, group := range groups {
		b.WriteString(p.paint(inkDim, p.bar) + p.edge)
		for i, c := range group {
			if i > 0 {
				b.WriteString("  ")
			}
			b.WriteString(text(c))
		}
	}
	return b.String()
}
