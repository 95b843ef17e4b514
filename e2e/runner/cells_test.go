package runner

import (
	"testing"

	"github.com/svclab/svclab/e2e/reach"
)

// Names are looked up at the cluster's DNS from nodes too, and a node's loopback is probed only by nodes.
func TestNodesAskNamesAndTheirLoopback(t *testing.T) {
	c, p, r := lab(t)
	c.api.react = func(api *fakeAPI, resource string, o map[string]any, deleted bool) {
		if spec, ok := o["spec"].(map[string]any); ok && resource == "services" && !deleted && spec["type"] == "NodePort" {
			for _, port := range spec["ports"].([]any) {
				port.(map[string]any)["nodePort"] = float64(31000)
			}
		}
		controllers(api, resource, o, deleted)
	}
	const table = `
tables:
  names:
    app: app=my-app
    kinds: [dns, localhost]
    rows:
      - {from: [pod, node], to: dns, outcome: Reached, by: all, sees: self}
      - {from: [outside, host], to: dns, outcome: NoSuchHost}
      - {from: node, to: localhost, outcome: Refused}
`
	v := one(t, r, loaded(t, "names", "", `
  - {name: deploy, apply: [app.yaml, service.yaml]}
  - {name: open, patch: {object: service/my-service, body: {spec: {type: NodePort}}}}
  - {name: look, expect: names}
`, table))
	if v.Result != reach.Pass {
		t.Fatal(results(v))
	}
	loopback := map[string]int{}
	for _, cell := range v.Steps[2].Tables[0].Cells {
		if cell.Cell.Target.Kind == reach.Localhost {
			loopback[string(cell.Cell.Vantage.Kind)]++
		}
	}
	if len(loopback) != 1 || loopback["node"] != 3 {
		t.Errorf("probed their loopback: %v, want 3 nodes", loopback)
	}
	lookups := 0
	for _, request := range p.requests[0] {
		if request.Target.Kind != reach.DNSName {
			continue
		}
		lookups++
		want := "invalid AddrPort"
		if request.Vantage.Kind == reach.Node {
			want = "10.96.0.10:53"
		}
		if got := request.DNSServer.String(); got != want {
			t.Errorf("%s uses DNS server %s, want %s", request.Vantage.Name, got, want)
		}
	}
	if lookups != 8 {
		t.Errorf("%d vantages looked up the name, want 8", lookups)
	}
}
