package mutants

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/svclab/svclab/e2e/reach"
)

// Told is what steps say about a mutant.
type Told struct {
	// Noticed: the result is the one that was to be, every sign was seen, and nothing else was.
	Noticed bool
	// Missed: every step passed, as without the fault. Where neither is true something was noticed, but not the right thing.
	Missed bool
	// By is what told first, in a line: the cell or the step, and how it differs.
	By string
	// More is how many cells and steps told besides.
	More int
	// Wrong says what is not as the Notice wants it, where the mutant was not noticed.
	Wrong string
}

// Read says whether the steps that ran with the fault report what they must.
func (n Notice) Read(steps []reach.Step) Told {
	want := cmp.Or(n.Result, reach.Fail)
	result := reach.Skipped
	var (
		told       Told
		unexpected []string
	)
	tell := func(step reach.Step, by string) {
		if told.By == "" {
			told.By = stepOf(step.Name) + ": " + by
		} else {
			told.More++
		}
	}
	shown := make([]map[string]bool, len(n.Signs)) // per sign, the places that have differed so: "from → to"
	for i := range shown {
		shown[i] = map[string]bool{}
	}
	checks := make([]bool, len(n.Checks))
	for _, step := range steps {
		result = reach.Worse(result, step.Result)
		for _, table := range step.Tables {
			for _, cell := range table.Cells {
				if cell.Result == reach.Pass || cell.Result == reach.Skipped {
					continue
				}
				text := fmt.Sprintf("%s → %s: %s", cell.Cell.Vantage.Name, cell.Cell.Target.Name(), howBad(cell))
				switch {
				case !n.covers(cell):
					unexpected = append(unexpected, text)
				case n.mark(shown, cell):
					tell(step, text)
				}
			}
		}
		if len(step.Tables) > 0 || step.Result == reach.Pass {
			continue
		}
		i := slices.IndexFunc(n.Checks, func(c CheckSign) bool {
			return stepOf(step.Name) == c.Step && slices.ContainsFunc(c.Why, func(why string) bool { return strings.Contains(step.Why, why) })
		})
		if i < 0 || step.Result != want {
			unexpected = append(unexpected, fmt.Sprintf("%s: %s: %s", stepOf(step.Name), step.Result, step.Why))
			continue
		}
		checks[i] = true
		tell(step, step.Why)
	}
	var wrong []string
	switch {
	case result == reach.Pass:
		told.Missed = true
		told.Wrong = "every step passed"
		return told
	case result != want:
		wrong = append(wrong, fmt.Sprintf("the steps came to %s, want %s", result, want))
	}
	for i, sign := range n.Signs {
		if sign.Some && len(shown[i]) > 0 {
			continue
		}
		for _, place := range sign.places() {
			if !shown[i][place] {
				wrong = append(wrong, fmt.Sprintf("no cell %s tells by %s", place, sign.how()))
			}
		}
	}
	for i, check := range n.Checks {
		if !checks[i] {
			wrong = append(wrong, fmt.Sprintf("step %q does not tell %q", check.Step, strings.Join(check.Why, " or ")))
		}
	}
	if len(unexpected) > 0 {
		wrong = append(wrong, fmt.Sprintf("%d report the fault that should not, first %s", len(unexpected), unexpected[0]))
	}
	told.Wrong = strings.Join(wrong, "; ")
	told.Noticed = len(wrong) == 0
	return told
}

// howBad is a bad cell's first difference, or why it is bad.
func howBad(cell reach.CellVerdict) string {
	if len(cell.Differences) > 0 {
		return cell.Differences[0].String()
	}
	return cell.Why
}

// covers reports whether a bad cell is where some sign looks.
func (n Notice) covers(cell reach.CellVerdict) bool {
	return slices.ContainsFunc(n.Signs, func(s Sign) bool {
		return s.about(cell.Cell.Target) && (isOne(s.From, cell.Cell.Vantage) || isOne(s.Also, cell.Cell.Vantage))
	})
}

// mark notes for each sign the places whose difference the cell shows, and reports whether it shows any.
func (n Notice) mark(shown []map[string]bool, cell reach.CellVerdict) bool {
	shows := false
	for i, sign := range n.Signs {
		if !sign.about(cell.Cell.Target) || !sign.shows(cell) {
			continue
		}
		shows = true
		for _, from := range sign.From {
			if isOne([]string{from}, cell.Cell.Vantage) {
				shown[i][place(from, cell.Cell.Target.Kind)] = true
				shown[i][place(from, anyTarget)] = true
			}
		}
	}
	return shows
}

const anyTarget reach.TargetKind = "any target"

func place(from string, to reach.TargetKind) string { return from + " → " + string(to) }

// places must each show the fault.
func (s Sign) places() []string {
	kinds := s.To
	if len(kinds) == 0 {
		kinds = []reach.TargetKind{anyTarget}
	}
	var places []string
	for _, from := range s.From {
		for _, to := range kinds {
			places = append(places, place(from, to))
		}
	}
	return places
}

func (s Sign) about(t reach.Target) bool {
	return t.Undeclared == s.Undeclared && (len(s.To) == 0 || slices.Contains(s.To, t.Kind)) && (s.Slot == "" || t.Slot == s.Slot)
}

// shows reports whether a bad cell differs as the sign says.
func (s Sign) shows(cell reach.CellVerdict) bool {
	if s.Field == NotProbed {
		return cell.Result == reach.Inconclusive
	}
	return slices.ContainsFunc(cell.Differences, func(d reach.Difference) bool {
		return d.Field == s.Field && (len(s.Got) == 0 || slices.Contains(s.Got, d.Got))
	})
}

func (s Sign) how() string {
	text := s.Field
	if len(s.Got) > 0 {
		text += " " + strings.Join(s.Got, " or ")
	}
	if s.Slot != "" {
		text += " at " + s.Slot
	}
	if s.Undeclared {
		text += ", at an undeclared port"
	}
	return text
}

// isOne reports whether a vantage is among names, which are vantages or kinds of them.
func isOne(names []string, v reach.Vantage) bool {
	return slices.Contains(names, v.Name) || slices.Contains(names, string(v.Kind))
}
