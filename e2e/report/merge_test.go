package report

import (
	"bytes"
	"strings"
	"testing"

	"github.com/svclab/svclab/e2e/reach"
)

func TestReasonsThatDifferInAddressesAreCountedTogether(t *testing.T) {
	got := merged(map[string]int{"no route to 10.96.0.1; it would leave": 2, "no route to 10.96.0.2; it would leave": 3, "no name": 1})
	if len(got) != 2 || got["no name"] != 1 || got["no route to 10.96.0.1; it would leave (likewise 1 more)"] != 5 {
		t.Errorf("got %v", got)
	}
}

// A rule's reason names the node. Ten nodes must not give ten explanations of one rule.
func TestOneRuleIsExplainedOnce(t *testing.T) {
	target := reach.Target{Kind: reach.ClusterIP, Service: "lab/s", Host: "10.96.0.1", Port: 80, Protocol: reach.TCP}
	table := reach.Table{Title: "t", Targets: []reach.Target{target}}
	for _, name := range []string{"node/a", "node/b", "node/c"} {
		v := reach.Vantage{Name: name, Kind: reach.Node}
		table.Vantages = append(table.Vantages, v)
		table.Cells = append(table.Cells, reach.CellVerdict{Result: reach.Pass, Cell: reach.Cell{Vantage: v, Target: target,
			Observations: []reach.Observation{{Outcome: reach.Refused}}},
			Oracle: reach.Prediction{Outcomes: []reach.Outcome{reach.Refused}, Rule: "no-endpoints", Reason: "kube-proxy on " + name + " rejects"}})
	}
	var out bytes.Buffer
	if err := Table(&out, table, Style{}); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(out.String(), "rejects"); n != 1 {
		t.Errorf("explained %d times:\n%s", n, out.String())
	}
	if !strings.Contains(out.String(), "(for example) kube-proxy on node/a rejects") {
		t.Errorf("an example is not marked as one:\n%s", out.String())
	}
}
