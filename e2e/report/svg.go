package report

import (
	"fmt"
	"html/template"
	"io"
	"slices"
	"strings"

	"github.com/svclab/svclab/e2e/reach"
)

// The picture's measures, in pixels. Text is set in a monospaced font, so that its width is known without the font.
const (
	pictureMargin = 16
	pictureRow    = 24 // from one row to the next
	pictureCell   = 80 // from one column to the next, at least
	pictureGap    = 10 // between the vantages of two kinds
	titleChar     = 8.6
	textChar      = 7.3
	subChar       = 6.1
)

// SVG draws the tables of one step of a run, named "scenario/step": a row for each target, a column for each vantage.
// The picture needs no font and no script, follows the reader's light or dark colours, and describes itself in words.
func SVG(w io.Writer, run Run, step string) error {
	found, err := stepOfRun(run, step)
	if err != nil {
		return err
	}
	css, err := styles("palette.css")
	if err != nil {
		return err
	}
	p := picture{CSS: css, Title: strings.Map(xmlRune, step), Caption: strings.Map(xmlRune, clusterLine(run.Cluster, " ·"))}
	p.width = 2*pictureMargin + max(textWidth(p.Title, titleChar), textWidth(p.Caption, textChar))
	p.y = pictureMargin + 2*pictureRow
	for _, t := range found.Tables {
		p.table(t)
	}
	p.legend()
	p.Width, p.Height = p.width, p.y+pictureMargin
	p.Desc = "Rows are targets, columns are the vantages that the probes come from. " + strings.Join(p.said, ". ") + "."
	return render(w, "picture.svg", p, nil)
}

// stepOfRun finds a step that has a table. Its errors name those that a caller can choose from.
func stepOfRun(run Run, at string) (reach.Step, error) {
	scenario, name, _ := strings.Cut(at, "/")
	var scenarios, steps []string
	for _, v := range run.Verdicts {
		scenarios = append(scenarios, v.Scenario)
		if v.Scenario != scenario {
			continue
		}
		for _, s := range v.Steps {
			if len(s.Tables) == 0 {
				continue
			}
			if s.Name == name {
				return s, nil
			}
			steps = append(steps, v.Scenario+"/"+s.Name)
		}
	}
	switch {
	case len(steps) > 0:
		return reach.Step{}, fmt.Errorf("no step %q has a table; those that have: %s", at, strings.Join(steps, ", "))
	case slices.Contains(scenarios, scenario):
		return reach.Step{}, fmt.Errorf("no step of scenario %s has a table", scenario)
	}
	return reach.Step{}, fmt.Errorf("the run has no scenario %q; it has: %s", scenario, strings.Join(scenarios, ", "))
}

// picture is what picture.svg shows, with every position computed.
type picture struct {
	CSS                  template.CSS
	Title, Caption, Desc string
	Width, Height        int
	Texts                []pictureText
	Cells                []pictureBox

	width, y int
	said     []string // what the tables show, in words
	classes  []string // of the cells there are, in order of appearance
}

// pictureText is a line of text. Class is of the template's style: "head", "sub", "label", "service".
type pictureText struct {
	X, Y        int
	Class, Text string
}

// pictureBox is a coloured field with a text in its middle. Class is a cell's: see [cellClass].
type pictureBox struct {
	X, Y, Width, Height int
	Class, Text         string
}

// Middle and Base are where the box's text stands.
func (b pictureBox) Middle() int { return b.X + b.Width/2 }
func (b pictureBox) Base() int   { return b.Y + b.Height/2 + 4 }

func textWidth(s string, char float64) int { return int(float64(Width(s))*char) + 1 }

func (p *picture) text(x, y int, class, text string) {
	if text != "" {
		p.Texts = append(p.Texts, pictureText{X: x, Y: y, Class: class, Text: strings.Map(xmlRune, text)})
	}
}

// table adds one table below what is there.
func (p *picture) table(t reach.Table) {
	v, text := newView(t), newPrinter(Style{})
	g := text.layoutWith(v, true, false)
	for _, group := range v.groups() {
		p.said = append(p.said, strings.Map(xmlRune, group.heading(v, text.ellipsis)))
	}

	pitch := pictureCell
	for _, c := range g.columns {
		pitch = max(pitch, textWidth(c.head, textChar)+8)
		for _, sub := range c.subs {
			pitch = max(pitch, textWidth(sub, subChar)+8)
		}
		for _, row := range v.cells {
			pitch = max(pitch, textWidth(cellText(text, row[c.vantage]), textChar)+8)
		}
	}
	left := pictureMargin + textWidth(strings.Repeat("x", g.label), textChar) + pictureGap
	at := make([]int, len(g.columns)) // each column's left edge
	x, n := left, 0
	lines := 0
	for _, group := range byHead(g.columns) {
		p.text(x+3, p.y+14, "head", group[0].head)
		for _, c := range group {
			lines = max(lines, len(c.subs))
			for i, sub := range c.subs {
				p.text(x+3, p.y+14+16*(i+1), "sub", sub)
			}
			at[n] = x
			x += pitch
			n++
		}
		x += pictureGap
	}
	p.text(pictureMargin, p.y+14+16*lines, "service", g.corner)
	p.y += 24 + 16*lines
	for _, r := range g.rows {
		if r.target < 0 {
			p.text(pictureMargin, p.y+16, "service", r.label)
			p.y += pictureRow
			continue
		}
		p.text(pictureMargin, p.y+16, "label", r.label)
		for i, c := range g.columns {
			if cell := v.cells[r.target][c.vantage]; cell != nil {
				class, _ := cellClass(cell)
				p.box(pictureBox{X: at[i], Y: p.y, Width: pitch - 2, Height: pictureRow - 2, Class: class, Text: cellText(text, cell)})
			}
		}
		p.y += pictureRow
	}
	p.width = max(p.width, x-pictureGap+pictureMargin)
	p.y += pictureRow / 2
}

func cellText(p *printer, c *reach.CellVerdict) string {
	mark, word := p.gridCell(c)
	return strings.TrimSpace(mark + " " + word)
}

func (p *picture) box(b pictureBox) {
	p.Cells = append(p.Cells, b)
	if !slices.Contains(p.classes, b.Class) {
		p.classes = append(p.classes, b.Class)
	}
}

// legend explains the colours and marks of the cells there are.
func (p *picture) legend() {
	x := pictureMargin
	for _, entry := range [][2]string{{"reached", "✓ reached, as expected"}, {"denied", "not reached, as expected"}, {"timeout", "timed out, as expected"},
		{"differ", "✗ not as expected"}, {"unsure", "? could not be probed"}, {"unprobed", "– not probed, on purpose"}} {
		if !slices.Contains(p.classes, entry[0]) {
			continue
		}
		b := pictureBox{X: x, Y: p.y, Width: textWidth(entry[1], textChar) + 16, Height: pictureRow - 2, Class: entry[0], Text: entry[1]}
		if b.X > pictureMargin && b.X+b.Width+pictureMargin > p.width {
			p.y += pictureRow
			b.X, b.Y = pictureMargin, p.y
		}
		p.Cells = append(p.Cells, b)
		x = b.X + b.Width + 6
		p.width = max(p.width, x-6+pictureMargin)
	}
	p.y += pictureRow
}
