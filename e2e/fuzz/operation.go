package fuzz

import (
	"slices"
)

// Operation is one thing that is done to a sandbox or to the cluster.
type Operation struct {
	// Kind is the key of the table in kinds.
	Kind string `json:"kind"`
	// Service, Pod and Node are the names of what it is done to, Value what it is set to.
	Service string `json:"service,omitempty"`
	Pod     string `json:"pod,omitempty"`
	Node    string `json:"node,omitempty"`
	Value   string `json:"value,omitempty"`
	// Inner is done meanwhile, where the operation is a disturbance of a node.
	Inner *Operation `json:"inner,omitempty"`
}

// String says what is done.
func (o Operation) String() string {
	text := o.Kind
	for _, part := range []string{o.Service, o.Pod, o.Node, o.Value} {
		if part != "" {
			text += " " + part
		}
	}
	if o.Inner != nil {
		text += ": " + o.Inner.String()
	}
	return text
}

// Exclusive reports whether it is done to the complete cluster, so that nothing else may run.
func (o Operation) Exclusive() bool { return kinds()[o.Kind].exclusive }

// states are those that the operation leads through, the last one being where it ends. None: in this state there is nothing
// to do. A disturbance alone ends in the state where it began.
func (o Operation) states(s State) []State {
	k := kinds()[o.Kind]
	if k.do == nil {
		if o.Inner != nil {
			return o.Inner.states(s)
		}
		return []State{s}
	}
	return k.do(o, s.clone())
}

// mainly is how many of a hundred operations are done to the first Service of a history, to which its flows go.
const mainly = 65

// someService chooses a Service and one of the values that values returns for it.
func (g generator) someService(s State, values func(c Case) []string) (Operation, bool) {
	order := g.Perm(len(s.Cases))
	if first := slices.IndexFunc(order, func(i int) bool { return s.Cases[i].Name() == serviceName(0) }); first >= 0 && g.chance(mainly) {
		order[0], order[first] = order[first], order[0]
	}
	for _, i := range order {
		if list := values(s.Cases[i]); len(list) > 0 {
			return Operation{Service: s.Cases[i].Name(), Value: pick(g.Rand, list...)}, true
		}
	}
	return Operation{}, false
}

// somePod chooses a pod, mostly an endpoint of the first Service.
func (g generator) somePod(s State, may func(name string) bool) (Operation, bool) {
	order := g.Perm(len(g.pods))
	if i := s.find(serviceName(0)); i >= 0 && g.chance(mainly) {
		slices.SortStableFunc(order, func(a, b int) int {
			return count2(uses(s.Cases[i], &g.pods[b])) - count2(uses(s.Cases[i], &g.pods[a]))
		})
	}
	for _, k := range order {
		if may(g.pods[k].Name) {
			return Operation{Pod: g.pods[k].Name}, true
		}
	}
	return Operation{}, false
}

func count2(is bool) int {
	if is {
		return 1
	}
	return 0
}

// operations chooses a sequence of operations from a state on.
func (g generator) operations(s State, most int) []Operation {
	var (
		list  []Operation
		table = kinds()
		names = make([]string, 0, len(table))
		sum   = 0
	)
	for name, k := range table {
		names, sum = append(names, name), sum+k.weight
	}
	slices.Sort(names)
	for tries := 0; len(list) < most && tries < 20*most; tries++ {
		o, ok := g.operation(s, table, names, sum, false)
		if !ok {
			continue
		}
		if through := o.states(s); len(through) > 0 {
			list, s = append(list, o), through[len(through)-1]
		}
	}
	return list
}

// operation chooses one operation; plain: none that disturbs the cluster.
func (g generator) operation(s State, table map[string]kind, names []string, sum int, plain bool) (Operation, bool) {
	roll, name := g.IntN(sum), ""
	for _, name = range names {
		if roll -= table[name].weight; roll < 0 {
			break
		}
	}
	k := table[name]
	if plain && k.exclusive {
		return Operation{}, false
	}
	o, ok := k.choose(g, s)
	if !ok {
		return o, false
	}
	o.Kind = name
	if k.inner {
		for range 20 {
			if inner, ok := g.operation(s, table, names, sum, true); ok && len(inner.states(s)) > 0 {
				o.Inner = &inner
				break
			}
		}
		if o.Inner == nil {
			return o, false
		}
	}
	return o, true
}
