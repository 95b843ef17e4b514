package dryrun

import (
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/svclab/svclab/e2e/oracle"
	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/scenario"
	"github.com/svclab/svclab/e2e/steps"
	"github.com/svclab/svclab/e2e/table"
	"github.com/svclab/svclab/manifests"
)

// The oracle predicts from the model what the tables expect. So the model is like the clusters in which both were seen to
// be right, and a mistake in either of the three shows without a cluster.
func TestModelAgreesWithOracleAndTables(t *testing.T) {
	scenarios, err := scenario.LoadAll(manifests.FS(), steps.Kinds())
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range labs() {
		cells := 0
		for _, sc := range scenarios {
			if !l.has(sc.Needs) {
				continue
			}
			step, err := visit(sc, l, func(step scenario.Step, site table.Site) {
				predictor := oracle.New(site.World)
				for _, name := range step.Tables() {
					grid, err := site.Match(sc.Tables[name])
					if err != nil {
						t.Errorf("%s: %s: %s: %v", l, sc.Name, step.Name, err)
					}
					cells += len(grid.Cells)
					for _, cell := range grid.Cells {
						expected, err := site.Expected(sc.Tables[name], cell)
						if err != nil {
							t.Errorf("%s: %s: %s: %v", l, sc.Name, step.Name, err)
							continue
						}
						predicted := predictor.Predict(cell.Vantage, cell.Target)
						if !agree(predicted, expected) {
							t.Errorf("%s: %s: %s: from %s to %s: predicted %v by %v, expected %v by %v", l, sc.Name, step.Name, cell.Vantage.Name,
								cell.Target.Name(), predicted.Outcomes, predicted.Backends, expected.Outcomes, expected.Backends)
						}
					}
				}
			})
			if err != nil {
				t.Errorf("%s: %s: %s: %v", l, sc.Name, step, err)
			}
		}
		if cells < 1000 {
			t.Errorf("%s: only %d cells", l, cells)
		}
		t.Logf("%s: %d cells", l, cells)
	}
}

// agree reports whether one observation can be as both predict. Either may allow for more than the other, where it does
// not say which node or which pod of several is chosen.
func agree(a, b reach.Prediction) bool {
	if !slices.ContainsFunc(a.Outcomes, b.Allows) {
		return false
	}
	if !a.Wants() || !b.Wants() {
		return true
	}
	if a.AnyBackend || b.AnyBackend || a.Sticky || b.Sticky {
		return len(a.Backends) == 0 || slices.ContainsFunc(a.Backends, func(name string) bool { return slices.Contains(b.Backends, name) })
	}
	return slices.Equal(a.Backends, b.Backends)
}

// sample is a scenario of one pod and one Service; TestCheck makes each mistake in its table that Check must find.
const (
	sampleSteps = `
title: A pod answers
behaviours: [clusterip.basic]
steps:
  - {name: deploy, apply: [app.yaml]}
  - {name: who reaches it, expect: reach}
`
	sampleApp = `
apiVersion: v1
kind: Pod
metadata: {name: one, labels: {app: my-app}}
spec:
  nodeName: svclab-worker
  containers: [{name: my-app, image: example.com/app, ports: [{containerPort: 8080}]}]
---
apiVersion: v1
kind: Service
metadata: {name: my-service}
spec:
  selector: {app: my-app}
  ports: [{port: 80, targetPort: 8080}]
`
	sampleTable = `
tables:
  reach:
    app: app=my-app
    rows:
      - {from: [pod, node], to: [clusterIP, dns], outcome: Reached, by: all}
      - {from: [pod, node], to: {kind: clusterIP, undeclared: true}, outcome: {byMode: {nftables: Refused, iptables: TimedOut}}}
      - {from: [pod, node], to: endpoint, outcome: Reached, by: itself}
      - {from: [outside, host], to: [clusterIP, endpoint], outcome: Unreachable}
      - {from: [outside, host], to: {kind: clusterIP, undeclared: true}, outcome: Unreachable}
      - {from: [outside, host], to: dns, outcome: NoSuchHost}
`
)

func TestCheck(t *testing.T) {
	for name, c := range map[string]struct {
		change [2]string // a text of the scenario's files, and what takes its place
		want   []string  // parts of the findings, all of them
	}{
		"complete": {},
		"cells without a row": {
			[2]string{"\n      - {from: [outside, host], to: dns, outcome: NoSuchHost}", ""},
			[]string{"no row covers the cell from outside to my-service dns(my-service.svclab-sample.svc.cluster.local):80/TCP", "no row covers the cell from host to my-service dns"}},
		"a cell with two rows": {
			[2]string{"from: [pod, node], to: endpoint", "from: [pod, node, host], to: endpoint"},
			[]string{`step "who reaches it", table "reach": rows 3 and 4 all cover the cell from host to my-service endpoint@one:8080/TCP`}},
		"a row without a cell": {
			[2]string{"    rows:", "    rows:\n      - {from: pod, to: nodePort, outcome: Refused}"},
			[]string{"row 1 (from pod to nodePort: Refused) covers no cell"}},
		"an answer of no pod": {
			[2]string{"by: all}", "by: {pods: app=other}}"},
			[]string{"row 1: from pod/control-plane to my-service clusterIP:80/TCP: the row expects an answer by every pod with app=other, but there is no such pod"}},
		"a Service that does not exist": {
			[2]string{"    rows:", "    services: other\n    rows:"},
			[]string{`there is no Service "other"`, "the table has no cell"}},
		"both IP families": {
			[2]string{"  ports: [{port: 80", "  ipFamilyPolicy: PreferDualStack\n  ports: [{port: 80"}, nil},
		"only in a dual-stack cluster": {
			[2]string{"    rows:", "    rows:\n      - {from: pod, to: {kind: clusterIP, family: IPv6}, outcome: Refused}"},
			[]string{"(nftables, dual-stack; iptables, dual-stack): row 1 (from pod to clusterIP IPv6: Refused) covers no cell"}},
		"a kind that may make pods": {
			[2]string{"apiVersion: v1\nkind: Pod", "apiVersion: batch/v1\nkind: Job\nmetadata: {name: job}\n---\napiVersion: v1\nkind: Pod"},
			[]string{`step "deploy": the kind job is not modelled`}},
		"a command": {
			[2]string{"apply: [app.yaml]}", "apply: [app.yaml]}\n  - {name: label, run: {command: kubectl label pod one app=other --overwrite}}"},
			[]string{`step "label": the command is not modelled: kubectl label pod one app=other`}},
	} {
		t.Run(name, func(t *testing.T) {
			files := fstest.MapFS{}
			for file, text := range map[string]string{"scenario.yaml": sampleSteps, "app.yaml": sampleApp, "expect.yaml": sampleTable} {
				if c.change[0] != "" {
					text = strings.Replace(text, c.change[0], c.change[1], 1)
				}
				files["scenarios/sample/"+file] = &fstest.MapFile{Data: []byte(text)}
			}
			loaded, err := scenario.LoadAll(files, steps.Kinds())
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, f := range Check(loaded[0]) {
				got = append(got, f.String())
			}
			text := strings.Join(got, "\n")
			if len(got) != len(c.want) {
				t.Fatalf("%d findings, want %d:\n%s", len(got), len(c.want), text)
			}
			for i, want := range c.want {
				if !strings.Contains(got[i], want) {
					t.Errorf("finding %d is %s, want %q", i, got[i], want)
				}
			}
		})
	}
}
