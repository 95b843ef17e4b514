package mutants

import (
	"fmt"
	"io"
	"strings"

	"github.com/svclab/svclab/e2e/report"
)

// columns are the least widths of the table's: the mutant's name, its effect, what showed it, seconds.
const (
	nameWidth, secondsWidth = 23, 6
	leastWidth              = 90
)

// Text writes the findings as a table of so many columns, and what they come to.
func Text(w io.Writer, o Outcome, width int) error {
	var text strings.Builder
	line := func(format string, args ...any) {
		text.WriteString(strings.TrimRight(fmt.Sprintf(format, args...), " ") + "\n")
	}
	rest := max(width, leastWidth) - nameWidth - secondsWidth - 3*len(" | ")
	effect := rest * 2 / 5
	widths := []int{nameWidth, effect, rest - effect, secondsWidth}
	row := func(cells ...string) {
		wrapped := make([][]string, len(cells))
		height := 0
		for i, cell := range cells {
			wrapped[i] = report.WrapHard(cell, widths[i])
			height = max(height, len(wrapped[i]))
		}
		for k := range height {
			parts := make([]string, len(cells))
			for i := range cells {
				part := ""
				if k < len(wrapped[i]) {
					part = wrapped[i][k]
				}
				parts[i] = part + strings.Repeat(" ", max(0, widths[i]-report.Width(part)))
			}
			line("%s", strings.Join(parts, " | "))
		}
	}
	rule := func() {
		parts := make([]string, len(widths))
		for i, n := range widths {
			parts[i] = strings.Repeat("-", n)
		}
		line("%s", strings.Join(parts, "-+-"))
	}
	row("mutant", "fault", "noticed by scenario: step: cell", "s")
	for _, f := range o.Findings {
		rule()
		row(f.Mutant.Name, f.Mutant.Effect, f.cell(), fmt.Sprintf("%6.1f", f.Took.Seconds()))
	}
	rule()
	for _, f := range o.Findings {
		if f.Hop != "" && f.Hop != named {
			allowed := ""
			if f.Mutant.Untraced != "" {
				allowed = " (" + f.Mutant.Untraced + ")"
			}
			line("mutant %s: a trace did not name its rules%s: %s", f.Mutant.Name, allowed, f.Hop)
		}
	}
	for _, bad := range o.Baseline {
		line("did not pass without a fault: %s", bad)
	}
	line("%s", o.summary())
	if _, err := io.WriteString(w, text.String()); err != nil {
		return fmt.Errorf("write the table of mutants: %w", err)
	}
	return nil
}

// cell says what showed the fault, or what is wrong.
func (f Finding) cell() string {
	if f.Fate == Noticed {
		return f.Mutant.Scenario + ": " + f.line()
	}
	return strings.ToUpper(string(f.Fate)) + ": " + f.Mutant.Scenario + ": " + f.line()
}

// line is a shorter cell, without the scenario and the fate.
func (f Finding) line() string {
	if f.Fate != Noticed {
		return f.Why
	}
	text := f.Told.By
	if f.Told.More > 0 {
		text += fmt.Sprintf("; and %d more", f.Told.More)
	}
	return text
}

// summary counts the fates.
func (o Outcome) summary() string {
	count := map[Fate]int{}
	for _, f := range o.Findings {
		count[f.Fate]++
	}
	text := fmt.Sprintf("%d mutants: %d noticed", len(o.Findings), count[Noticed])
	if len(o.Findings) == 1 {
		text = strings.Replace(text, "mutants", "mutant", 1)
	}
	for _, fate := range []Fate{Survived, Elsewhere, WrongHop, NotRecovered, NotRun, Skipped} {
		if count[fate] > 0 {
			text += fmt.Sprintf(", %d %s", count[fate], fate)
		}
	}
	inFilter, untraced, right := 0, 0, 0
	for _, f := range o.Findings {
		switch {
		case f.Hop == "" && f.Mutant.Fault.Table == "", f.Mutant.History != nil, f.Fate == Skipped, f.Fate == NotRun:
			continue
		case f.Hop == "":
			untraced++
		case f.Hop == named:
			right++
		}
		inFilter++
	}
	if inFilter > 0 {
		text += fmt.Sprintf("; a trace named the fault's rules for %d of %d in a packet filter", right, inFilter)
	}
	if untraced > 0 {
		text += fmt.Sprintf(" (%d had no cell to trace)", untraced)
	}
	return fmt.Sprintf("%s (%.0f s): %s", text, o.Elapsed.Seconds(), o.Result())
}
