package releases

import (
	"strings"
	"testing"
	"testing/fstest"

	"github.com/svclab/svclab/e2e/reach"
)

const head = `title: A bug
behaviour: udp
upstream: [https://github.com/kubernetes/kubernetes/issues/1]
modes: [nftables]
affected: [{from: v1.32.0, before: v1.33.4}, {from: v1.35.1}]
`

const rules = `rules:
  history: [{apply: service.yaml}, {delete: [service/web]}]
  rule: clusterip
`

const service = `apiVersion: v1
kind: Service
metadata: {name: web}
spec: {ports: [{port: 80}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-1}
addressType: IPv4
`

func folder(release, objects string) fstest.MapFS {
	return fstest.MapFS{"releases/bug/release.yaml": {Data: []byte(release)}, "releases/bug/service.yaml": {Data: []byte(objects)}, "releases/bug/upstream.md": {}}
}

func TestLoadRules(t *testing.T) {
	cases, err := LoadRules(folder(head+rules, service))
	if err != nil || len(cases) != 1 || cases[0].Name != "bug" {
		t.Fatalf("%+v, %v", cases, err)
	}
	if o := cases[0].Objects["service.yaml"]; len(o.Services) != 1 || o.Services[0].Name != "web" || len(o.Slices) != 1 || o.Slices[0].Name != "web-1" {
		t.Errorf("%+v", o)
	}
}

// A bug that no release is without has a text for upstream, and no other has one.
func TestOpenBugIsWrittenUp(t *testing.T) {
	files := folder(head+rules, service)
	delete(files, "releases/bug/upstream.md")
	if _, err := LoadRules(files); err == nil || !strings.Contains(err.Error(), "upstream.md") {
		t.Errorf("open: %v", err)
	}
	if _, err := LoadRules(folder(strings.Replace(head, "{from: v1.35.1}", "{from: v1.35.1, before: v1.36.0}", 1)+rules, service)); err == nil || !strings.Contains(err.Error(), "upstream.md is a stray file") {
		t.Errorf("cured: %v", err)
	}
}

func TestHas(t *testing.T) {
	cases, err := LoadRules(folder(head+rules, service))
	if err != nil {
		t.Fatal(err)
	}
	for release, want := range map[string]bool{"v1.31.14": false, "v1.32.0": true, "v1.33.3": true, "v1.33.4": false, "v1.34.9": false, "v1.35.0": false, "v1.35.1": true, "v1.40.0": true} {
		if got := cases[0].Has(release, "nftables"); got != want || cases[0].Has(release, "iptables") {
			t.Errorf("%s: %v", release, got)
		}
	}
}

func TestLoadIsStrict(t *testing.T) {
	for _, tc := range []struct{ release, objects, want string }{
		{head + rules + "colour: red\n", service, "colour"},
		{strings.Replace(head, "udp", "teleport", 1) + rules, service, "behaviour"},
		{strings.Replace(head, "https:", "ftp:", 1) + rules, service, "is no address"},
		{strings.Replace(head, "[nftables]", "[ipvs]", 1) + rules, service, "mode"},
		{strings.Replace(head, "v1.33.4", "v1.32", 1) + rules, service, "are no releases"},
		{strings.Replace(head, "v1.33.4", "v1.31.0", 1) + rules, service, "not before"},
		{head + strings.Replace(rules, "  rule: clusterip\n", "", 1), service, "one of rule"},
		{head + strings.Replace(rules, "service.yaml", "other.yaml", 1), service, "other.yaml"},
		{head + strings.Replace(rules, "{apply: service.yaml}, ", "", 1), service, "service.yaml is a stray file"},
		{head + rules, strings.Replace(service, "ports:", "prots:", 1), "prots"},
		{head + rules, strings.Replace(service, "kind: Service", "kind: Pod", 1), "Services and EndpointSlices only"},
	} {
		if _, err := LoadRules(folder(tc.release, tc.objects)); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("want %q: %v", tc.want, err)
		}
	}
}

func TestResultAndText(t *testing.T) {
	known := Outcome{Release: "v1.33.0", Mode: "nftables", Case: "bug", Known: true, Ran: true, Shown: true, Seen: "pod to web: lost"}
	missed, news, notRun := known, known, known
	missed.Shown, missed.Seen = false, ""
	news.Known = false
	notRun.Ran, notRun.Shown, notRun.Seen = false, false, "no client"
	explained := Finding{By: "scenario", Name: "udp", First: "lost", Case: "bug"}
	cases := []Case{{Name: "bug", Behaviour: "udp", Upstream: []string{"https://issue"}}}
	for _, tc := range []struct {
		row   Row
		want  reach.Result
		print string
	}{
		{Row{Cases: []Outcome{known}}, reach.Pass, "pod to web: lost"},
		{Row{Cases: []Outcome{missed}}, reach.Fail, "NOT SHOWN"},
		{Row{Cases: []Outcome{news}}, reach.Fail, "NOT KNOWN OF THIS RELEASE"},
		{Row{Cases: []Outcome{notRun}}, reach.Inconclusive, "not run: no client"},
		{Row{Error: "it does not start"}, reach.Inconclusive, "not tried: it does not start"},
		{Row{Found: []Finding{explained}}, reach.Pass, "https://issue"},
		{Row{Found: []Finding{{By: "fuzz", Name: "x", First: "lost"}}}, reach.Fail, "NOT TRACED YET"},
	} {
		rows := []Row{tc.row}
		if got := Result(rows); got != tc.want {
			t.Errorf("%+v: %s, want %s", tc.row, got, tc.want)
		}
		var out strings.Builder
		if err := Text(&out, rows, cases); err != nil || !strings.Contains(out.String(), tc.print) {
			t.Errorf("%v: %q does not have %q", err, out.String(), tc.print)
		}
	}
}

func TestFailed(t *testing.T) {
	cell := reach.CellVerdict{Cell: reach.Cell{Vantage: reach.Vantage{Name: "pod/worker"}}, Result: reach.Fail, Why: "nobody answered"}
	v := reach.Verdict{Scenario: "udp", Steps: []reach.Step{{Name: "first", Result: reach.Pass},
		{Name: "second", Result: reach.Fail, Why: "a table differs", Tables: []reach.Table{{Cells: []reach.CellVerdict{cell}}}}}}
	if f := Failed(v); f.Name != "udp" || !strings.HasPrefix(f.First, "second: pod/worker to ") || !strings.HasSuffix(f.First, ": nobody answered") {
		t.Errorf("%+v", f)
	}
}
