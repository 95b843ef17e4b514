package runner

import (
	"net/netip"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/world"
)

// A table may have rows for an IP family that only some clusters have, and for no other kind of cell that is not there.
func TestRowsOfAFamilyThatIsNotThere(t *testing.T) {
	const table = `
tables:
  reach:
    app: app=my-app
    kinds: clusterIP
    from: pod
    rows:
      - {from: pod, to: {kind: clusterIP, family: IPv4}, outcome: Reached, by: all}
      - {from: pod, to: {kind: clusterIP, undeclared: true}, outcome: Refused}
      - {from: pod, to: {kind: FAMILY}, outcome: Refused}
`
	for row, want := range map[string]string{
		"localhost, family: IPv6": "",
		"localhost, family: IPv4": "is about no cell",
		"localhost":               "is about no cell",
	} {
		_, _, r := lab(t)
		v := one(t, r, loaded(t, "families", "", deployAndLook, strings.Replace(table, "FAMILY", row, 1)))
		if (v.Result == reach.Pass) != (want == "") || !strings.Contains(results(v), want) {
			t.Errorf("%s: %s", row, results(v))
		}
	}
}

func TestNodeAddressesOfAFamily(t *testing.T) {
	node := corev1.Node{Status: corev1.NodeStatus{Addresses: []corev1.NodeAddress{
		{Type: corev1.NodeInternalIP, Address: "172.18.0.3"}, {Type: corev1.NodeInternalIP, Address: "fd00::3"}}}}
	node.Name = "lab-worker"
	where := site{world: world.World{Nodes: []corev1.Node{node}, Facts: world.Facts{Slots: map[string]string{"worker": "lab-worker"},
		ServiceCIDRs: []netip.Prefix{netip.MustParsePrefix("10.96.0.0/16")}}}}
	for text, want := range map[string]string{"{nodeIP:worker}": "172.18.0.3", "[{nodeIPv6:worker}]": "[fd00::3]", "{nodeIPv6:worker2}": ""} {
		if got, err := where.filled(text); got != want && want != "" || (err == nil) != (want != "") {
			t.Errorf("%s: got %s (%v), want %s", text, got, err, want)
		}
	}
}
