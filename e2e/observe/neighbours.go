package observe

import (
	"bytes"
	"context"
	"fmt"
	"io"

	"github.com/svclab/svclab/e2e/probe"
	"github.com/svclab/svclab/e2e/reach"
)

// FlushNeighbours makes the vantages outside the cluster forget which machine has which address, as a client that has
// just arrived.
//
// Linux keeps what ARP or NDP once told it as long as connections succeed, and every node serves a load-balancer
// address, whichever node announces it. So an address that no node announces any more goes on answering the clients
// that used it before, and a goal about announcing it would be reached without that. Scenarios keep their clients: what
// these see of a failover is what the scenario shows.
func FlushNeighbours(ctx context.Context, exec probe.Exec, vantages []reach.Vantage) error {
	for _, v := range vantages {
		if v.Kind != reach.Outside || v.Unusable != "" {
			continue
		}
		var complaint bytes.Buffer
		if err := exec.Exec(ctx, v, []string{"ip", "neigh", "flush", "all"}, nil, io.Discard, &complaint); err != nil {
			return fmt.Errorf("flush the neighbours of %s: %w %s", v.Name, err, bytes.TrimSpace(complaint.Bytes()))
		}
	}
	return nil
}
