package report

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/svclab/svclab/e2e/reach"
)

func TestRedact(t *testing.T) {
	const context = "arn:aws:eks:eu-west-1:123456789012:cluster/prod"
	names := map[string]string{context: "context", "prod": "staging", "ip-10-0-1-2.eu-west-1.compute.internal": "worker", "": "never"}
	run := Run{Cluster: Cluster{Name: context, Nodes: []Node{{Name: "ip-10-0-1-2.eu-west-1.compute.internal"}}}, Started: time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)}
	run.Verdicts = append(run.Verdicts, reach.Verdict{Scenario: "x", Result: reach.Inconclusive, Steps: []reach.Step{{Name: "look", Result: reach.Inconclusive,
		Why: strings.Join([]string{"Get https://ABC.gr7.eu-west-1.eks.amazonaws.com:443: dial 10.0.1.2:443, [fd00:1::7]:80, 127.0.0.1:30080 at 05:06:07",
			"role of 123456789012 and 210987654321", "10-0-1-2.my-service.x.svc", "10.96.0.0/16", "::ffff:10.0.1.2", "kubectl --context " + context,
			"client-ip-10-0-1-2.eu-west-1.compute.internal", "production", "a::", "step 1-2-3-999"}, "; ")}}})
	got, err := Redact(run, names)
	if err != nil {
		t.Fatal(err)
	}
	want := "Get https://host-1.example:443: dial 198.18.0.1:443, [2001:db8::2]:80, 127.0.0.1:30080 at 05:06:07; role of 000000000002 and 000000000003; " +
		"198-18-0-1.my-service.x.svc; 198.18.0.3/16; 198.18.0.1; kubectl --context context; client-worker; production; 2001:db8::4; step 1-2-3-999"
	if why := got.Verdicts[0].Steps[0].Why; why != want {
		t.Errorf("got  %s\nwant %s", why, want)
	}
	if got.Cluster.Name != "context" || got.Cluster.Nodes[0].Name != "worker" || !got.Started.Equal(run.Started) {
		t.Errorf("%+v", got)
	}
}

// All reports are made of the redacted run, and it is judged as before.
func TestRedactedReports(t *testing.T) {
	run, err := Redact(mixed(), map[string]string{"svclab-worker": "worker"})
	if err != nil {
		t.Fatal(err)
	}
	if run.Result() != mixed().Result() || run.Totals().Cells != mixed().Totals().Cells {
		t.Errorf("the result changed to %s, the cells to %+v", run.Result(), run.Totals().Cells)
	}
	for _, write := range []func(io.Writer) error{func(w io.Writer) error { return Text(w, run, Style{Verbose: true}) }, func(w io.Writer) error { return HTML(w, run) }} {
		var text bytes.Buffer
		if err := write(&text); err != nil {
			t.Fatal(err)
		}
		for _, secret := range []string{"172.18.0.", "10.96.", "svclab-worker:"} {
			if strings.Contains(text.String(), secret) {
				t.Errorf("a report still has %q", secret)
			}
		}
	}
}
