package trace

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/svclab/svclab/e2e/oracle"
)

// Read decodes the JSON form of a trace.
func Read(text []byte) (Trace, error) {
	var t Trace
	if err := json.Unmarshal(text, &t); err != nil {
		return t, fmt.Errorf("it is no trace: %w", err)
	}
	if t.Version != Version || len(t.Steps) == 0 {
		return t, fmt.Errorf("it is no trace of version %d", Version)
	}
	return t, nil
}

// Diff prints in what two traces differ, hop by hop. Addresses are not compared, because two clusters have different ones.
func Diff(w io.Writer, a, b Trace) (alike bool, err error) {
	var text strings.Builder
	note := func(format string, args ...any) { alike = false; fmt.Fprintf(&text, format+"\n", args...) }
	alike = true
	if a.From.Name != b.From.Name || a.To.Name() != b.To.Name() {
		note("paths    %s → %s  |  %s → %s", a.From.Name, a.To.Name(), b.From.Name, b.To.Name())
	}
	if a.Mode != b.Mode {
		note("mode     %s  |  %s", a.Mode, b.Mode)
	}
	if a.Of != b.Of {
		note("ways     %d  |  %d", a.Of, b.Of)
	}
	used := make([]bool, len(b.Steps))
	last := -1
	for i, s := range a.Steps {
		j := slices.IndexFunc(b.Steps, func(o Step) bool { return o.Kind == s.Kind && o.Reply == s.Reply })
		for j >= 0 && j < len(b.Steps) && (used[j] || j <= last || b.Steps[j].Kind != s.Kind || b.Steps[j].Reply != s.Reply) {
			if j++; j == len(b.Steps) {
				j = -1
			}
		}
		if j < 0 {
			note("hop %2d   %s %s: %s  |  –", i+1, s.At, s.Kind, s.Says)
			continue
		}
		used[j], last = true, j
		for _, d := range differences(s, b.Steps[j]) {
			note("hop %2d   %s: %s", i+1, s.Kind, d)
		}
	}
	for j, s := range b.Steps {
		if !used[j] {
			note("hop %2d   –  |  %s %s: %s", j+1, s.At, s.Kind, s.Says)
		}
	}
	if a.Observation.Outcome != b.Observation.Outcome {
		note("outcome  %s  |  %s", a.Observation.Outcome, b.Observation.Outcome)
	}
	if a.Result != b.Result {
		note("result   %s  |  %s", a.Result, b.Result)
	}
	if alike {
		text.WriteString("the paths are alike\n")
	}
	_, err = io.WriteString(w, text.String())
	return alike, err
}

// differences are between two hops of one kind.
func differences(a, b Step) (list []string) {
	add := func(what, one, other string) {
		if one != other {
			list = append(list, fmt.Sprintf("%s %s  |  %s", what, dash(one), dash(other)))
		}
	}
	if a.Kind != oracle.HopPod {
		add("at", a.At, b.At)
	}
	add("hook", a.Hook, b.Hook)
	add("table", a.Table, b.Table)
	add("chains", chainKinds(a.Chains), chainKinds(b.Chains))
	add("verdict", a.Verdict, b.Verdict)
	add("mark", string(a.Mark), string(b.Mark))
	return list
}

// chainKinds are the chains without the hashes and names of one Service.
func chainKinds(chains []string) string {
	kinds := make([]string, len(chains))
	for i, name := range chains {
		kinds[i] = name
		for _, prefix := range []string{"KUBE-SVC-", "KUBE-SVL-", "KUBE-EXT-", "KUBE-FW-", "service-", "local-", "external-", "firewall-"} {
			if strings.HasPrefix(name, prefix) && name != "service-endpoints-check" {
				kinds[i] = prefix + "…"
			}
		}
	}
	return strings.Join(kinds, " → ")
}

func dash(text string) string {
	if text == "" {
		return "–"
	}
	return text
}
