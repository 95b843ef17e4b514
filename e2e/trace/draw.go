package trace

import (
	"fmt"
	"html"
	"io"
	"slices"
	"strings"

	"github.com/svclab/svclab/e2e/oracle"
)

// lanes are who takes part, in the order of the path: the client, the nodes, the endpoint.
func lanes(t Trace) (names []string) {
	for _, s := range t.Steps {
		if !slices.Contains(names, s.At) {
			names = append(names, s.At)
		}
	}
	return names
}

// Mermaid draws a trace as a sequence diagram in the language of mermaid.
func Mermaid(w io.Writer, t Trace) error {
	var (
		text  strings.Builder
		names = lanes(t)
		id    = func(name string) string { return fmt.Sprintf("p%d", slices.Index(names, name)) }
		safe  = strings.NewReplacer(";", ",", "#", "no. ", "\n", " ")
		marks = marks(false)
	)
	text.WriteString("sequenceDiagram\n")
	for _, name := range names {
		fmt.Fprintf(&text, "  participant %s as %s\n", id(name), safe.Replace(name))
	}
	for i, s := range t.Steps {
		label := strings.TrimSpace(marks[s.Mark] + " " + safe.Replace(s.Says))
		if i == 0 || t.Steps[i-1].At == s.At {
			fmt.Fprintf(&text, "  Note over %s: %s\n", id(s.At), label)
			continue
		}
		arrow := "->>"
		if s.Reply {
			arrow = "-->>"
		}
		if s.Mark == Differs {
			arrow = "-x"
		}
		fmt.Fprintf(&text, "  %s%s%s: %s\n", id(t.Steps[i-1].At), arrow, id(s.At), label)
	}
	if t.Lost != "" {
		fmt.Fprintf(&text, "  Note over %s,%s: %s\n", id(names[0]), id(names[len(names)-1]), safe.Replace(t.Lost))
	}
	_, err := io.WriteString(w, text.String())
	return err
}

// Sizes of the picture, in pixels.
const (
	laneWidth, rowHeight, headHeight, margin = 230, 46, 64, 20
	textWidth                                = 520
	laneChars, textChars                     = 32, 74
	charWidth                                = 6.6
)

// SVG draws a trace: a lane for each participant, a row for each hop with what happens there. It is complete in itself, and
// follows light and dark colours.
func SVG(w io.Writer, t Trace) error {
	var (
		text   strings.Builder
		names  = lanes(t)
		x      = func(name string) int { return margin + laneWidth/2 + laneWidth*slices.Index(names, name) }
		left   = margin + laneWidth*len(names) + margin
		width  = left + textWidth + margin
		lost   = wrap(Summary(t), int(float64(width-2*margin)/charWidth))
		height = headHeight + rowHeight*len(t.Steps) + 18*len(lost) + 2*margin
		title  = fmt.Sprintf("%s → %s", t.From.Name, t.To.Name())
	)
	fmt.Fprintf(&text, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" role="img" aria-label="%s">
<title>%s</title>
<desc>%s</desc>
<style>
svg { font: 12px ui-monospace, Menlo, Consolas, monospace; background: #fff; fill: #1b1f24 }
.lane { stroke: #c5ccd3; stroke-dasharray: 3 4 } .name { font-weight: 600; text-anchor: middle }
.way { stroke: #3b6fb5; stroke-width: 1.6; fill: none } .back { stroke-dasharray: 6 4 }
.same { fill: #1a7f37 } .differs { fill: #c1121f } .unseen, .unwatched { fill: #8b949e } .seen { fill: #57606a }
@media (prefers-color-scheme: dark) { svg { background: #0d1117; fill: #e6edf3 } .lane { stroke: #30363d } .seen { fill: #9198a1 } .way { stroke: #6ea8fe } .same { fill: #3fb950 } .differs { fill: #ff7b72 } }
</style>
<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto"><path d="M0 0L8 4L0 8z" fill="#3b6fb5"/></marker></defs>
`, width, height, width, height, html.EscapeString(title), html.EscapeString(title), html.EscapeString(Summary(t)))
	fmt.Fprintf(&text, "<text x=\"%d\" y=\"%d\">%s</text>\n", margin, 22, html.EscapeString(title+"  ("+target(t.To)+", "+t.Mode+" mode)"))
	for _, name := range names {
		fmt.Fprintf(&text, "<text class=\"name\" x=\"%d\" y=\"%d\">%s</text><line class=\"lane\" x1=\"%d\" y1=\"%d\" x2=\"%d\" y2=\"%d\"/>\n",
			x(name), headHeight-10, html.EscapeString(clip(name, laneChars)), x(name), headHeight, x(name), headHeight+rowHeight*len(t.Steps))
	}
	for i, s := range t.Steps {
		y := headHeight + rowHeight*i + rowHeight/2
		if i > 0 && t.Steps[i-1].At != s.At {
			class := "way"
			if s.Reply {
				class += " back"
			}
			fmt.Fprintf(&text, "<line class=\"%s\" marker-end=\"url(#tip)\" x1=\"%d\" y1=\"%d\" x2=\"%d\" y2=\"%d\"/>\n", class, x(t.Steps[i-1].At), y-rowHeight, x(s.At), y-7)
		}
		fmt.Fprintf(&text, "<circle class=\"%s\" cx=\"%d\" cy=\"%d\" r=\"6\"/>\n", s.Mark, x(s.At), y)
		fmt.Fprintf(&text, "<text x=\"%d\" y=\"%d\">%s</text>\n", x(s.At)+12, y+4, html.EscapeString(hopLabel(s.Hop)))
		says := clip(fmt.Sprintf("%d. %s", i+1, s.Says), textChars)
		fmt.Fprintf(&text, "<text x=\"%d\" y=\"%d\">%s</text>\n", left, y-1, html.EscapeString(says))
		if s.Seen != "" {
			fmt.Fprintf(&text, "<text class=\"seen\" x=\"%d\" y=\"%d\">%s</text>\n", left, y+14, html.EscapeString(clip("seen: "+s.Seen, textChars)))
		}
	}
	class := map[bool]string{true: "differs", false: "same"}[t.Lost != ""]
	for i, line := range lost {
		fmt.Fprintf(&text, "<text class=\"%s\" x=\"%d\" y=\"%d\">%s</text>\n", class, margin, headHeight+rowHeight*len(t.Steps)+margin+18*i, html.EscapeString(line))
	}
	text.WriteString("</svg>\n")
	_, err := io.WriteString(w, text.String())
	return err
}

func hopLabel(h oracle.Hop) string {
	if h.Hook != "" {
		return h.Hook
	}
	return string(h.Kind)
}

// clip cuts a text to a number of characters.
func clip(text string, most int) string {
	if r := []rune(text); len(r) > most {
		return string(r[:most-1]) + "…"
	}
	return text
}

// wrap breaks a text between words.
func wrap(text string, most int) (lines []string) {
	line := ""
	for _, word := range strings.Fields(text) {
		if line != "" && len([]rune(line))+1+len([]rune(word)) > most {
			lines, line = append(lines, line), ""
		}
		line = strings.TrimSpace(line + " " + word)
	}
	return append(lines, line)
}
