package releases

import "fmt"

// Outcome is what one release did with one case.
type Outcome struct {
	Release string `json:"release"`
	Mode    string `json:"mode"`
	Case    string `json:"case"`
	// Known: the case's data say that this release has it.
	Known bool `json:"known"`
	// Ran is false where the case could not be run, which Seen explains.
	Ran bool `json:"ran"`
	// Shown: it was observed; Seen is its first disagreement.
	Shown bool   `json:"shown"`
	Seen  string `json:"seen,omitempty"`
}

// AsKnown reports whether the release did what the case's data say.
func (o Outcome) AsKnown() bool { return o.Ran && o.Shown == o.Known }

// String is a line for people.
func (o Outcome) String() string {
	text := fmt.Sprintf("%-8s %-8s %-32s ", o.Release, o.Mode, o.Case)
	switch {
	case !o.Ran:
		return text + "not run: " + o.Seen
	case o.Shown && o.Known:
		return text + "shown: " + o.Seen
	case o.Shown:
		return text + "SHOWN, and the release is not known to have it: " + o.Seen
	case o.Known && o.Seen != "":
		return text + "NOT SHOWN, and the release is known to have it; another cell differs: " + o.Seen
	case o.Known:
		return text + "NOT SHOWN, and the release is known to have it"
	default:
		return text + "ok"
	}
}
