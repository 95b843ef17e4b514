package upstream

import (
	"strings"
	"testing"
	"time"

	"github.com/svclab/svclab/e2e/reach"
)

// ginkgoReport is what Ginkgo 2.32 wrote for a run of four processes, cut down to four entries.
const ginkgoReport = `[{"SuitePath":"/tmp/e2e","SuiteDescription":"Kubernetes e2e suite","SuiteSucceeded":false,"SpecReports":[
 {"ContainerHierarchyTexts":null,"LeafNodeType":"SynchronizedBeforeSuite","LeafNodeText":"","State":"passed","RunTime":1200000000},
 {"ContainerHierarchyTexts":["[sig-network] Services"],"LeafNodeType":"It","LeafNodeText":"a [Conformance]","State":"passed","RunTime":6500000000},
 {"ContainerHierarchyTexts":["[sig-network] Services","nested"],"LeafNodeType":"It","LeafNodeText":"b [Conformance]","State":"failed","RunTime":2000000000,
  "Failure":{"Message":"no answer within 2m0s\nmore"}},
 {"ContainerHierarchyTexts":["[sig-storage] CSI"],"LeafNodeType":"It","LeafNodeText":"c","State":"skipped","RunTime":0},
 {"ContainerHierarchyTexts":["[sig-network] Services"],"LeafNodeType":"It","LeafNodeText":"d [Conformance]","State":"interrupted","RunTime":1000000000}
]}]`

func named(names ...string) []Spec {
	specs := make([]Spec, len(names))
	for i, n := range names {
		specs[i] = Spec{Name: n, Behaviours: []string{"status"}}
	}
	return specs
}

func TestRead(t *testing.T) {
	specs := named("[sig-network] Services a [Conformance]", "[sig-network] Services nested b [Conformance]", "[sig-network] Services d [Conformance]", "gone")
	got, err := read(strings.NewReader(ginkgoReport), specs)
	if err != nil {
		t.Fatal(err)
	}
	want := []SpecResult{
		{Spec: specs[0], Result: reach.Pass, Elapsed: 6500 * time.Millisecond},
		{Spec: specs[1], Result: reach.Fail, Elapsed: 2 * time.Second, Why: "no answer within 2m0s"},
		{Spec: specs[2], Result: reach.Inconclusive, Elapsed: time.Second, Why: "it was interrupted"},
		{Spec: specs[3], Result: reach.Inconclusive, Why: "it did not run: this e2e.test does not have it"},
	}
	for i := range want {
		if got[i].Name != want[i].Name || got[i].Result != want[i].Result || got[i].Elapsed != want[i].Elapsed || got[i].Why != want[i].Why {
			t.Errorf("got %+v\nwant %+v", got[i], want[i])
		}
	}
	outcome := Outcome{Specs: got}
	if outcome.Result() != reach.Fail || outcome.Passed() != 1 {
		t.Errorf("the run is %s with %d passed, want Fail with 1", outcome.Result(), outcome.Passed())
	}
	if (Outcome{}).Result() != reach.Inconclusive {
		t.Error("a run without specs is a pass")
	}
}

func TestReadRefuses(t *testing.T) {
	for name, tc := range map[string]struct{ report, want string }{
		"no JSON":                {"it crashed", "read Ginkgo's report"},
		"an unrequested spec":    {ginkgoReport, "an unrequested spec ran: [sig-network] Services a [Conformance]"},
		"a suite that fell over": {strings.Replace(ginkgoReport, `"State":"passed","RunTime":1200000000`, `"State":"failed","Failure":{"Message":"no nodes"}`, 1), "SynchronizedBeforeSuite: no nodes"},
	} {
		if _, err := read(strings.NewReader(tc.report), nil); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: got %v, want %q", name, err, tc.want)
		}
	}
}
