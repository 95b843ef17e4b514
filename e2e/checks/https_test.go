package checks

import (
	"fmt"
	"strings"
	"testing"

	"github.com/svclab/svclab/e2e/reach"
)

func TestSecureTarget(t *testing.T) {
	for text, want := range map[string]string{
		"https://example.com":           "example.com 443",
		"https://example.com:8443/path": "example.com 8443",
		"http://example.com":            "its scheme is http",
		"example.com":                   "is not the URL",
		"":                              "is not the URL",
		"https://192.0.2.1":             "names an address",
		"https://[2001:db8::1]:443":     "names an address",
		"https://example.com:99999":     "has an invalid port",
	} {
		target, err := secureTarget(text)
		got := fmt.Sprint(target.Host, " ", target.Port)
		if err != nil {
			got = err.Error()
			if reach.ResultOf(err) != reach.Fail {
				t.Errorf("%q: %v is not the cluster's fault", text, err)
			}
		}
		if !strings.Contains(got, want) {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
}

// A client of the namespace finds the namespace's names, whatever the namespace of the vantage is. A final dot keeps the search
// path out.
func TestSearched(t *testing.T) {
	for host, want := range map[string]string{
		"my-service":   "my-service.learn-25.svc.cluster.local. my-service",
		"example.com":  "example.com.learn-25.svc.cluster.local. example.com",
		"example.com.": "example.com.",
	} {
		if got := strings.Join(searched(host, "learn-25", "cluster.local"), " "); got != want {
			t.Errorf("%s: %s, want %s", host, got, want)
		}
	}
	cell := func(outcomes ...reach.Outcome) []reach.Cell {
		var c reach.Cell
		for _, o := range outcomes {
			c.Observations = append(c.Observations, reach.Observation{Outcome: o})
		}
		return []reach.Cell{c}
	}
	if !unknownName(cell(reach.NoSuchHost)) || unknownName(cell(reach.NoSuchHost, reach.WrongAnswer)) || unknownName(cell(reach.ProbeFailed)) {
		t.Error("only a name that is never found is unknown")
	}
}

func TestJudgeHTTPS(t *testing.T) {
	for want, outcomes := range map[reach.Result][][]reach.Outcome{
		reach.Pass:         {{reach.Reached}},
		reach.Fail:         {{reach.WrongAnswer}, {reach.Reached, reach.Refused}, {reach.ProbeFailed, reach.Refused}},
		reach.Inconclusive: {{reach.ProbeFailed}, {}},
	} {
		for _, observed := range outcomes {
			cell := reach.Cell{Vantage: reach.Vantage{Name: "pod/worker"}}
			for _, o := range observed {
				cell.Observations = append(cell.Observations, reach.Observation{Outcome: o, Detail: "why"})
			}
			if _, err := judgeHTTPS("https://example.com", []reach.Cell{cell}); reach.ResultOf(err) != want {
				t.Errorf("%v: %v, want %s", observed, err, want)
			}
		}
	}
}
