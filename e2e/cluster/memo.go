package cluster

import "sync"

// memo holds what was made for each key, once. Concurrent callers with the same key wait for the first; what failed is tried
// again by the next caller. The zero value is ready to use.
type memo[V any] struct{ entries sync.Map }

type entry[V any] struct {
	mu    sync.Mutex
	made  bool
	value V
}

func (m *memo[V]) get(key string, create func() (V, error)) (V, error) {
	loaded, _ := m.entries.LoadOrStore(key, &entry[V]{})
	e := loaded.(*entry[V])
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.made {
		return e.value, nil
	}
	value, err := create()
	if err == nil {
		e.value, e.made = value, true
	}
	return value, err
}
