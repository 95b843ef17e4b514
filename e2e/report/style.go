package report

import (
	"fmt"
	"strings"

	"github.com/svclab/svclab/e2e/reach"
)

// Style is how text is printed. The zero value is 110 columns wide, with box drawing and without colour.
// The caller decides Color and Plain from whether it writes to a terminal, NO_COLOR and TERM.
type Style struct {
	// Width is in terminal columns; 0 means 110. Commands are never broken, whatever the width.
	Width int
	// Plain prints no box drawing, no marks beyond ASCII and no colour: for pipes, screen readers and
	// terminals that draw such marks two columns wide.
	Plain bool
	// Color marks results with ANSI colours; the marks say the same without them.
	Color bool
	// Verbose prints every cell. Without it, cells that agree are explained in groups.
	Verbose bool
	// Merge prints equal columns of a kind, and equal rows of nodes, as one, also where there is room for each.
	Merge bool
}

const (
	defaultWidth = 110
	minWidth     = 60
)

func (s Style) width() int {
	if s.Width == 0 {
		return defaultWidth
	}
	return max(s.Width, minWidth)
}

// ink is an ANSI SGR sequence's parameters.
type ink string

const (
	inkNone ink = ""
	inkGood ink = "32"
	inkBad  ink = "1;31"
	inkWarn ink = "33"
	inkDim  ink = "2"
	inkBold ink = "1"
)

func inkFor(r reach.Result) ink {
	switch r {
	case reach.Pass:
		return inkGood
	case reach.Fail:
		return inkBad
	case reach.Inconclusive:
		return inkWarn
	}
	return inkDim
}

// glyphs are the marks of one style.
type glyphs struct {
	good, bad, unsure, skipped string // one column each
	bar, rule, cross           string // of the grid
	edge                       string // what follows a bar
	times, dot, ellipsis, dash string
}

func (s Style) glyphs() glyphs {
	if s.Plain {
		return glyphs{good: "+", bad: "X", unsure: "?", skipped: "-", bar: "  ", rule: "-", cross: "--", edge: " ",
			times: "x", dot: ",", ellipsis: "..", dash: "-"}
	}
	return glyphs{good: "✓", bad: "✗", unsure: "?", skipped: "–", bar: " │", rule: "─", cross: "─┼", edge: " ",
		times: "×", dot: " ·", ellipsis: "…", dash: "–"}
}

// printer collects lines, so that they can be written in one write.
type printer struct {
	Style
	glyphs

	buf strings.Builder
}

func newPrinter(s Style) *printer { return &printer{Style: s, glyphs: s.glyphs()} }

// paint colours s. Widths are to be measured, and lines broken, before painting. Text is to be made Printable before it is
// measured; paint does it once more, so that no colour but the printer's own reaches the terminal.
func (p *printer) paint(i ink, s string) string {
	s = Printable(s)
	if !p.Color || p.Plain || i == inkNone || s == "" {
		return s
	}
	return fmt.Sprintf("\x1b[%sm%s\x1b[0m", i, s)
}

// line prints one line without the blanks at its end.
func (p *printer) line(indent int, s string) {
	s = strings.TrimRight(s, " ")
	if s != "" {
		p.buf.WriteString(strings.Repeat(" ", indent))
	}
	p.buf.WriteString(s)
	p.buf.WriteByte('\n')
}

func (p *printer) blank() { p.line(0, "") }

// para prints s broken at the width, its further lines indented by hang more.
func (p *printer) para(indent, hang int, i ink, s string) { p.labelled(indent, 0, hang, "", i, s) }

// labelled prints s like para, after a label in a column of its own.
func (p *printer) labelled(indent, column, hang int, label string, i ink, s string) {
	room, s := p.width()-indent-column, Printable(s)
	head := p.paint(inkDim, padRight(label, column))
	for _, l := range wrap(s, room, room-hang) {
		p.line(indent, head+p.paint(i, l))
		head = strings.Repeat(" ", column+hang)
	}
}

// fieldWidth is the column in which the text of fields starts.
const fieldWidth = 10

// field prints "label     text", the text broken and aligned.
func (p *printer) field(indent int, label, text string) {
	p.labelled(indent, fieldWidth, 0, label, inkNone, text)
}

// command prints a field whose text must stay on one line to be pasted.
func (p *printer) command(indent int, label, text string) {
	p.line(indent, p.paint(inkDim, padRight(label, fieldWidth))+Printable(text))
}

// spread prints left and right on one line, right at the width's end, or on two lines when they do not fit.
func (p *printer) spread(indent int, i ink, left, right string) {
	left = Printable(left)
	room := p.width() - indent - Width(left) - Width(right)
	if right == "" || room < 1 {
		p.para(indent, 2, i, left)
		if right != "" {
			p.line(indent+2, p.paint(inkDim, right))
		}
		return
	}
	p.line(indent, p.paint(i, left)+strings.Repeat(" ", room)+p.paint(inkDim, right))
}

// mark is the one-column mark of a result.
func (g glyphs) mark(r reach.Result) string {
	switch r {
	case reach.Pass:
		return g.good
	case reach.Fail:
		return g.bad
	case reach.Inconclusive:
		return g.unsure
	}
	return g.skipped
}
