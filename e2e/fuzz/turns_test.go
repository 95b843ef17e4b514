package fuzz

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// TestTurns: what may be done while something else is.
func TestTurns(t *testing.T) {
	plain, cluster, pool := kind{}, kind{exclusive: true}, kind{exclusive: true, pool: true}
	for name, tc := range map[string]struct {
		first      kind
		balances   bool
		shared     bool
		second     kind
		balancing  bool
		mayBeAtOne bool
	}{
		"two operations":                                   {first: plain, second: plain, balancing: true, mayBeAtOne: true},
		"an operation and a disturbance":                   {first: plain, second: cluster},
		"a disturbance and an operation":                   {first: cluster, second: plain},
		"a disturbance that is over, and an operation":     {first: cluster, shared: true, second: plain, mayBeAtOne: true},
		"a disturbance that is over, and another":          {first: cluster, shared: true, second: cluster},
		"the pool, and an operation":                       {first: pool, second: plain, mayBeAtOne: true},
		"the pool, and an operation that needs an address": {first: pool, second: plain, balancing: true},
		"an operation that needs an address, and the pool": {first: plain, balances: true, second: pool},
		"the same, when it has the address":                {first: plain, balances: true, shared: true, second: pool, mayBeAtOne: true},
		"the pool, and again":                              {first: pool, second: pool},
		"the pool, and a disturbance":                      {first: pool, second: cluster},
	} {
		t.Run(name, func(t *testing.T) {
			all := &turns{}
			held := all.take(tc.first, tc.balances)
			if tc.shared {
				held.share()
			}
			got := make(chan *turn)
			go func() { got <- all.take(tc.second, tc.balancing) }()
			long := 20 * time.Millisecond // a turn that is not to be had may not be had a little later either
			if tc.mayBeAtOne {
				long = time.Minute
			}
			select {
			case other := <-got:
				if held.end(); !tc.mayBeAtOne {
					t.Error("both at once")
				}
				other.end()
			case <-time.After(long):
				if held.end(); tc.mayBeAtOne {
					t.Error("not at once")
				}
				(<-got).end()
			}
		})
	}
}

func TestBalances(t *testing.T) {
	histories, _ := testHistories(5, false, 1)
	from := histories[0].Start
	from.Cases = from.Cases[:2]
	from.Cases[0].Service.Spec.Type, from.Cases[1].Service.Spec.Type = corev1.ServiceTypeLoadBalancer, corev1.ServiceTypeClusterIP
	for operation, want := range map[Operation]bool{{Kind: "recreated", Service: "s000"}: true, {Kind: "recreated", Service: from.Cases[1].Name()}: false,
		{Kind: "type-and-back", Service: "s000"}: true, {Kind: "affinity", Service: "s000", Value: "ClientIP"}: false} {
		if through := operation.states(from); balances(from, through) != want {
			t.Errorf("%s: %t", operation, !want)
		}
	}
}
