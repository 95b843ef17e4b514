package steps

import (
	"context"
	"strings"
	"testing"

	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/world"
)

// ruled is a cluster whose worker has rules of another mode.
type ruled struct {
	Cluster
	left []string
}

func (ruled) Facts(context.Context) (world.Facts, error) {
	return world.Facts{ProxyMode: world.ModeNFTables, NodeModes: map[string]string{"lab-worker": world.ModeIPTables}, Slots: map[string]string{"worker": "lab-worker"}}, nil
}

func (r ruled) ProxyLeftovers(_ context.Context, node string) ([]string, error) {
	if node != "lab-worker" {
		return nil, nil
	}
	return r.left, nil
}

// What kube-proxy has left is a failure, not a reason to judge nothing.
func TestOneProxyMode(t *testing.T) {
	n := Node{Slot: "worker", Action: OneProxyMode}
	report, err := n.Do(t.Context(), &Env{Cluster: ruled{}})
	if err != nil || !strings.Contains(strings.Join(report.Lines, "\n"), "lab-worker has rules of iptables mode only") || !n.ReadOnly() {
		t.Errorf("%v, %v", report, err)
	}
	report, err = n.Do(t.Context(), &Env{Cluster: ruled{left: []string{"nftables table ip kube-proxy"}}})
	if reach.ResultOf(err) != reach.Fail || !strings.Contains(err.Error(), "on lab-worker: nftables table ip kube-proxy") || len(report.Lines) != 1 {
		t.Errorf("%v, %v", report, err)
	}
}
