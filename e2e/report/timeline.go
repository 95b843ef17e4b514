package report

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/svclab/svclab/e2e/reach"
)

// timelineColumns is how many characters a row of a timeline has in text.
const timelineColumns = 100

// backendMarks are the marks of backends, in the order in which they answered. Further backends share the last one.
var backendMarks = []rune("abcdefghijklmnopqrstuvwxyz0123456789αβγδεζηθικλμνξοπρστυφχψω*")

// backendMark is the mark of the i-th backend.
func backendMark(i int) rune { return backendMarks[min(i, len(backendMarks)-1)] }

// outcomeMark is the mark of a request that no backend answered as it should.
func outcomeMark(o reach.Outcome) rune {
	switch o {
	case reach.Refused:
		return 'R'
	case reach.TimedOut:
		return 'T'
	case reach.WrongAnswer:
		return 'W'
	case reach.ProbeFailed:
		return '?'
	default:
		return 'U'
	}
}

// timelineLegend explains the marks of a timeline.
func timelineLegend(t reach.Timeline) []string {
	var list []string
	for i, backend := range t.Backends() {
		list = append(list, fmt.Sprintf("%c %s", backendMark(i), backend))
	}
	return append(list, "R refused", "T timed out", "U unreachable", "W wrong answer", "| an operation begins", "! it must be in force")
}

func timelineTitle(t reach.Timeline) string {
	return fmt.Sprintf("%s from %s UTC on", t.To.Sub(t.From).Round(time.Millisecond), t.From.UTC().Format("15:04:05.000"))
}

// TimelineText draws a timeline: a row for each flow, a mark for each backend, a capital letter for what got no answer, and above them
// where the operations began.
func TimelineText(t reach.Timeline) string {
	var (
		text     strings.Builder
		backends = t.Backends()
		ruler    = []rune(strings.Repeat(" ", timelineColumns))
		column   = func(at time.Time) int { return min(int(t.At(at)*timelineColumns), timelineColumns-1) }
	)
	fmt.Fprintf(&text, "%s, %s a character\n", timelineTitle(t), (t.To.Sub(t.From) / timelineColumns).Round(time.Millisecond))
	for _, c := range t.Changes {
		ruler[column(c.Began)] = '|'
		if !c.InForce.IsZero() {
			ruler[column(c.InForce)] = '!'
		}
		fmt.Fprintf(&text, "%s| %s\n", strings.Repeat(" ", column(c.Began)), c.What)
	}
	text.WriteString(string(ruler) + "\n")
	for _, flow := range t.Rows {
		row := []rune(strings.Repeat(" ", timelineColumns))
		for _, r := range flow.Requests {
			at := column(r.At)
			if r.Outcome != reach.Reached { // it is not hidden by a request that got its answer
				row[at] = outcomeMark(r.Outcome)
			} else if row[at] == ' ' || slices.Contains(backendMarks, row[at]) {
				row[at] = backendMark(slices.Index(backends, r.Backend))
			}
		}
		fmt.Fprintf(&text, "%s  %s\n", string(row), flow.Name)
	}
	text.WriteString(strings.Join(timelineLegend(t), ", "))
	return text.String()
}

// The measures of a timeline on the page, in pixels.
const (
	timelineWidth = 860
	timelineChar  = 6.7 // the width of a character at most, to know on which side of a mark its text fits
	changeHeight  = 16
	flowHeight    = 36
	stripGap      = 4
	stripHeight   = 14
	timelineHues  = 8 // colours of backends in page.css
	leastStrip    = 2.5
)

// pageTimeline is a timeline as page.html draws it, with every position computed.
type pageTimeline struct {
	Title, Text   string
	Width, Height int
	Changes       []pageChange
	Rows          []pageStrip
	Legend        []pageMark
}

type pageChange struct {
	X, InForce float64 // InForce 0: no mark
	Y          int
	Anchor     string
	What       string
}

type pageStrip struct {
	Y, Top, Base int // of the name, and of the strip and the marks on it
	Name         string
	Marks        []pageMark
}

// pageMark is a stretch of requests that got the same.
type pageMark struct {
	X, Width, Middle float64
	Class, Mark      string
	Said             string
}

func newPageTimeline(t reach.Timeline) pageTimeline {
	backends := t.Backends()
	p := pageTimeline{Title: timelineTitle(t), Text: TimelineText(t), Width: timelineWidth}
	hue := func(i int) string { return fmt.Sprintf("hue%d", i%timelineHues) }
	for i, backend := range backends {
		p.Legend = append(p.Legend, pageMark{Class: hue(i), Mark: string(backendMark(i)), Said: backend})
	}
	y := changeHeight
	for _, c := range t.Changes {
		change := pageChange{X: t.At(c.Began) * timelineWidth, Y: y, Anchor: "start", What: c.What}
		if !c.InForce.IsZero() {
			change.InForce = t.At(c.InForce) * timelineWidth
		}
		if change.X+timelineChar*float64(len(c.What)) > timelineWidth {
			change.Anchor = "end"
		}
		p.Changes, y = append(p.Changes, change), y+changeHeight
	}
	for _, flow := range t.Rows {
		strip := pageStrip{Y: y, Top: y + stripGap, Base: y + stripGap + stripHeight - 3, Name: flow.Name}
		for i := 0; i < len(flow.Requests); {
			first, last := flow.Requests[i], flow.Requests[i]
			n := 0
			for ; i < len(flow.Requests) && flow.Requests[i].Outcome == first.Outcome && flow.Requests[i].Backend == first.Backend; i++ {
				last, n = flow.Requests[i], n+1
			}
			m := pageMark{X: t.At(first.At) * timelineWidth, Class: "differ", Mark: string(outcomeMark(first.Outcome)), Said: fmt.Sprintf("%d × %s", n, first.Outcome)}
			if first.Outcome == reach.Reached {
				at := slices.Index(backends, first.Backend)
				m.Class, m.Mark, m.Said = hue(at), string(backendMark(at)), fmt.Sprintf("%d × %s", n, first.Backend)
			}
			m.Width = max(t.At(last.At)*timelineWidth-m.X, leastStrip)
			m.Middle = m.X + m.Width/2
			if m.Width < timelineChar {
				m.Mark = ""
			}
			m.Said += fmt.Sprintf(", from %s on", first.At.Sub(t.From).Round(time.Millisecond))
			strip.Marks = append(strip.Marks, m)
		}
		p.Rows, y = append(p.Rows, strip), y+flowHeight
	}
	p.Height = y
	return p
}
