package fuzz

import (
	"fmt"
	"strings"
	"time"

	"github.com/svclab/svclab/e2e/reach"
)

// timelineCells is how many characters a timeline has.
const timelineCells = 100

// timeline draws the records of a history's flows around a disagreement: a row for each flow, a letter for each backend, a mark
// for what got no answer, and above them where the operations began. It is the disagreement's flow alone if it is one's.
func timeline(p played, d *Disagreement) string {
	if len(p.records) == 0 || d.at >= len(p.moments) {
		return ""
	}
	from, to := p.moments[max(d.at-1, 1)].period.Began.Add(-time.Second), p.moments[d.at].period.Ended
	column := func(at time.Time) int {
		return min(max(int(float64(timelineCells)*float64(at.Sub(from))/float64(max(to.Sub(from), 1))), 0), timelineCells-1)
	}
	var (
		text    strings.Builder
		letters = map[string]byte{}
		legend  []string
		ruler   = []byte(strings.Repeat(" ", timelineCells))
	)
	fmt.Fprintf(&text, "%s from %s on, %s a character\n", to.Sub(from).Round(time.Millisecond), from.UTC().Format("15:04:05.000"), (to.Sub(from) / timelineCells).Round(time.Millisecond))
	for k := max(d.at-1, 1); k <= d.at; k++ {
		m := p.moments[k]
		ruler[column(m.period.Began)] = '|'
		if !m.period.InForce.IsZero() {
			ruler[column(m.period.InForce)] = '!'
		}
		fmt.Fprintf(&text, "%s| %d. %s\n", strings.Repeat(" ", column(m.period.Began)), k, m.operation)
	}
	text.WriteString(string(ruler) + "\n")
	for i, record := range p.records {
		if d.Record != nil && (p.flowsOf[i].Name() != d.Record.Flow.Name()) {
			continue
		}
		row := []byte(strings.Repeat(" ", timelineCells))
		for _, o := range record {
			if o.At.Before(from) || o.At.After(to) {
				continue
			}
			var mark byte
			at := column(o.At)
			switch o.Outcome {
			case reach.Reached:
				if letters[o.Backend] == 0 {
					letters[o.Backend] = byte('a' + len(letters)%26)
					legend = append(legend, fmt.Sprintf("%c %s", letters[o.Backend], o.Backend))
				}
				mark = letters[o.Backend]
			case reach.Refused:
				mark = 'R'
			case reach.TimedOut:
				mark = 'T'
			case reach.WrongAnswer:
				mark = 'W'
			case reach.ProbeFailed:
				mark = '?'
			default:
				mark = 'U'
			}
			if was := row[at]; was == ' ' || was >= 'a' { // what got no answer is not hidden by what did
				row[at] = mark
			}
		}
		fmt.Fprintf(&text, "%s  %s\n", row, p.flowsOf[i].Name())
	}
	legend = append(legend, "R refused", "T timed out", "U unreachable", "W wrong answer", "| an operation begins", "! it must be in force")
	text.WriteString(strings.Join(legend, ", "))
	return text.String()
}
