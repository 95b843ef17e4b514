package runner

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"

	"github.com/svclab/svclab/e2e/reach"
)

// newcomer makes the vantages outside the cluster ask anew who has an address, as a client does that has just come, when
// a goal's tables may ask for a load-balancer address from there.
//
// Linux believes what ARP or NDP once told it as long as connections succeed, and every node serves a load-balancer
// address, whoever announces it. So an address that nobody announces any more goes on answering those who used it
// before, and a goal about announcing it would be met without that. Scenarios look with the eyes of clients that stay:
// what those see of a failover is theirs to show.
func (s *session) newcomer(ctx context.Context, names []string) error {
	exec, ok := s.runner.cluster.(Commander)
	if !ok || !s.goal {
		return nil
	}
	if !slices.ContainsFunc(names, func(name string) bool {
		kinds := s.scenario.Tables[name].Kinds
		return len(kinds) == 0 || slices.Contains(kinds, reach.LoadBalancer)
	}) {
		return nil
	}
	for _, v := range s.vantages {
		if v.Kind != reach.Outside || v.Unusable != "" {
			continue
		}
		var complaint bytes.Buffer
		if err := exec.Exec(ctx, v, []string{"ip", "neigh", "flush", "all"}, nil, io.Discard, &complaint); err != nil {
			return fmt.Errorf("make %s forget who had which address: %w %s", v.Name, err, bytes.TrimSpace(complaint.Bytes()))
		}
	}
	return nil
}
