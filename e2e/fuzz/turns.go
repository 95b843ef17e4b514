package fuzz

import (
	"slices"
	"sync"

	corev1 "k8s.io/api/core/v1"
)

// turns order what histories that are played side by side do to what they share: the complete cluster, and the load balancer's pool of
// addresses. Each is held for reading by an operation that needs it as it is, and for writing by one that disturbs it. Who takes
// both takes the pool first.
type turns struct{ cluster, pool sync.RWMutex }

// turn is what an operation holds of them.
type turn struct {
	turns     *turns
	exclusive bool
	pool      func()
}

// take waits for the turn of an operation of a kind. balances: Services get or give up an address of the pool.
func (t *turns) take(k kind, balances bool) *turn {
	held := &turn{turns: t, exclusive: k.exclusive && !k.pool, pool: func() {}}
	switch {
	case k.pool:
		t.pool.Lock()
		held.pool = t.pool.Unlock
	case balances:
		t.pool.RLock()
		held.pool = t.pool.RUnlock
	}
	if held.exclusive {
		t.cluster.Lock()
	} else {
		t.cluster.RLock()
	}
	return held
}

// share lets the others go on, as far as an operation that only observes any more does not mind.
func (t *turn) share() {
	t.pool()
	t.pool = func() {}
	if t.exclusive {
		t.exclusive = false
		t.turns.cluster.Unlock()
		t.turns.cluster.RLock()
	}
}

func (t *turn) end() {
	t.pool()
	if t.exclusive {
		t.turns.cluster.Unlock()
	} else {
		t.turns.cluster.RUnlock()
	}
}

// balances reports whether Services get or give up an address of the load balancer's pool on the way through states.
func balances(from State, through []State) bool {
	of := func(s State) (names []string) {
		for _, c := range s.Cases {
			if c.Service.Spec.Type == corev1.ServiceTypeLoadBalancer {
				names = append(names, c.Name())
			}
		}
		return names
	}
	return slices.ContainsFunc(through, func(s State) bool { return !slices.Equal(of(from), of(s)) })
}
