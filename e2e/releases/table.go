package releases

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/svclab/svclab/e2e/reach"
)

// Row is all that one release did in one mode.
type Row struct {
	Release string `json:"release"`
	Mode    string `json:"mode"`
	// Task says what was to be tried.
	Task string `json:"task"`
	// Error is why something could not be tried: the release does not build, does not start or does not write its rules.
	Error string `json:"error,omitempty"`
	// Cases are the outcomes of the known bugs.
	Cases []Outcome `json:"cases"`
	// Found are the disagreements of suite and fuzz.
	Found []Finding `json:"found"`
	// Suite and Fuzzed count the scenarios that were run and the Services that were tried.
	Suite  int `json:"suite"`
	Fuzzed int `json:"fuzzed"`
}

// Complete reports whether all was tried.
func (r Row) Complete() bool {
	return r.Error == "" && !slices.ContainsFunc(r.Cases, func(o Outcome) bool { return !o.Ran })
}

// Finding is one disagreement.
type Finding struct {
	// By is "scenario" or "fuzz", Name the scenario, or the kind of disagreement.
	By   string `json:"by"`
	Name string `json:"name"`
	// First is the first disagreement: where, what was expected and what was observed.
	First string `json:"first"`
	// Smallest is the smallest Service that shows it, as YAML, or the history.
	Smallest string `json:"smallest,omitempty"`
	// Case is the known bug that explains it; empty: none does.
	Case string `json:"case,omitempty"`
}

// Explain finds the known bug that explains why a scenario of the suite fails on a release.
func Explain(cases []Case, release, mode, scenario string) string {
	for _, c := range cases {
		if c.Has(release, mode) && slices.Contains(c.Scenarios, scenario) {
			return c.Name
		}
	}
	return ""
}

// Failed is the finding of a scenario that did not pass.
func Failed(v reach.Verdict) Finding {
	f := Finding{By: "scenario", Name: v.Scenario}
	for _, step := range v.Steps {
		if step.Result == reach.Fail || step.Result == reach.Inconclusive {
			f.First = strings.TrimSpace(step.Name + ": " + cmp.Or(firstCell(step), step.Why))
			break
		}
	}
	return f
}

// firstCell is the first cell of a step that differs.
func firstCell(step reach.Step) string {
	for _, table := range step.Tables {
		for _, c := range table.Cells {
			if c.Result == reach.Fail {
				return fmt.Sprintf("%s to %s: %s", c.Cell.Vantage.Name, c.Cell.Target.Name(), c.Why)
			}
		}
	}
	return ""
}

// Result is Fail where a case is not as known or a finding has no explanation, Inconclusive where something could not be tried.
func Result(rows []Row) reach.Result {
	result := reach.Pass
	for _, r := range rows {
		for _, o := range r.Cases {
			if o.Ran && !o.AsKnown() {
				return reach.Fail
			}
			if !o.Ran {
				result = reach.Inconclusive
			}
		}
		if slices.ContainsFunc(r.Found, func(f Finding) bool { return f.Case == "" }) {
			return reach.Fail
		}
		if r.Error != "" {
			result = reach.Inconclusive
		}
	}
	return result
}

// Text prints the table: a line for each bug that a release showed, each finding, and each thing that could not be tried.
func Text(out io.Writer, rows []Row, cases []Case) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	line := func(cells ...string) { _, _ = fmt.Fprintln(w, strings.Join(cells, "\t")) } // Flush returns the writer's error
	line("RELEASE", "MODE", "SHOWN BY", "BEHAVIOUR", "FIRST DISAGREEMENT", "UPSTREAM")
	of := func(name string) Case {
		i := slices.IndexFunc(cases, func(c Case) bool { return c.Name == name })
		if i < 0 {
			return Case{}
		}
		return cases[i]
	}
	passed := 0
	for _, r := range rows {
		if r.Error != "" {
			line(r.Release, r.Mode, "–", "–", "not tried: "+short(r.Error), "–")
		}
		for _, o := range r.Cases {
			c := of(o.Case)
			upstream := strings.Join(c.Upstream, " ")
			switch {
			case !o.Ran:
				line(r.Release, r.Mode, o.Case, c.Behaviour, "not run: "+short(o.Seen), upstream)
			case o.Shown && o.Known:
				line(r.Release, r.Mode, o.Case, c.Behaviour, short(o.Seen), upstream)
			case o.Shown:
				line(r.Release, r.Mode, o.Case, c.Behaviour, "NOT KNOWN OF THIS RELEASE: "+short(o.Seen), upstream)
			case o.Known:
				line(r.Release, r.Mode, o.Case, c.Behaviour, "NOT SHOWN, although the release is known to have it", upstream)
			default:
				passed++
			}
		}
		for _, f := range r.Found {
			c := of(f.Case)
			line(r.Release, r.Mode, f.By+" "+f.Name, cmp.Or(c.Behaviour, "–"), short(f.First), cmp.Or(strings.Join(c.Upstream, " "), "NOT TRACED YET"))
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	scenarios, services := 0, 0
	for _, r := range rows {
		scenarios, services = scenarios+r.Suite, services+r.Fuzzed
	}
	_, err := fmt.Fprintf(out, "%d releases and modes; %d times a release passed the case of a bug that it does not have; %d scenarios, %d random Services\n", len(rows), passed, scenarios, services)
	return err
}

// short is the beginning of a text, on one line.
func short(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	if runes := []rune(text); len(runes) > 160 {
		return string(runes[:160]) + "…"
	}
	return text
}
