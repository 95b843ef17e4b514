package main

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
)

// packet is the first packet of a connection, as rules see it.
type packet struct {
	src, dst netip.Addr
	dport    uint16
	protocol string // "tcp", "udp"
	mark     uint32
	link     bool // it came to the node by a link of one of its pods
	dnat     bool // its destination was changed here
	masq     bool // its source is to be one of this node's
}

// verdict is what a rule or a hook decides.
type verdict int

const (
	proceed verdict = iota // nothing is decided
	accept
	drop
	reject
	leave // the chain: what called it goes on
)

// effect is what one part of a rule does. The rule ends where ok is false.
type effect struct {
	ok      bool
	verdict verdict
	chain   string // to be called next
	tail    bool   // "goto": this chain ends with it
}

// op is one part of a rule: a condition, or what is done.
type op func(m *machine, p *packet) effect

// when makes a condition an op.
func when(condition func(m *machine, p *packet) bool) op {
	return func(m *machine, p *packet) effect { return effect{ok: condition(m, p)} }
}

// always makes a decision an op.
func always(v verdict) op {
	return func(*machine, *packet) effect { return effect{ok: true, verdict: v} }
}

type rule struct {
	text string
	ops  []op
}

// hook is a place in the kernel's path of a packet.
type hook string

const (
	prerouting  hook = "prerouting"
	input       hook = "input"
	forward     hook = "forward"
	output      hook = "output"
	postrouting hook = "postrouting"
)

// base is a chain that a hook calls.
type base struct {
	chain    string
	nat      bool
	priority int
}

// ruleset are the rules that one proxier wrote.
type ruleset struct {
	chains map[string][]rule
	hooks  map[hook][]base
}

func newRuleset() *ruleset { return &ruleset{chains: map[string][]rule{}, hooks: map[hook][]base{}} }

func (r *ruleset) attach(h hook, b base) {
	r.hooks[h] = append(r.hooks[h], b)
	slices.SortStableFunc(r.hooks[h], func(a, b base) int { return cmp.Compare(a.priority, b.priority) })
}

// check reports the first chain that is called and does not exist. Calls can only be found by their text.
func (r *ruleset) check(called []string) error {
	for _, name := range called {
		if _, exists := r.chains[name]; !exists {
			return fmt.Errorf("chain %q is called and does not exist", name)
		}
	}
	return nil
}

// machine is one node while a packet crosses it.
type machine struct {
	rules    *ruleset
	node     string
	local    func(netip.Addr) bool
	picks    *picks
	affinity map[string]bool // the node's sets that have the client's address
	recorded map[string]bool // those that it was entered in
	trace    func(format string, args ...any)
}

// at runs a hook. A new connection meets each kind of address translation once, so chains of type nat are left out where it
// comes a second time.
func (m *machine) at(h hook, p *packet, again bool) verdict {
	for _, b := range m.rules.hooks[h] {
		if b.nat && again {
			continue
		}
		if v := m.run(b.chain, p); v == drop || v == reject {
			return v
		}
	}
	return accept
}

func (m *machine) run(chain string, p *packet) verdict {
	for _, r := range m.rules.chains[chain] {
		var e effect
		for _, o := range r.ops {
			if e = o(m, p); !e.ok || e.verdict != proceed || e.chain != "" {
				break
			}
		}
		if !e.ok {
			continue
		}
		m.trace("%s %s: %s", m.node, chain, r.text)
		switch {
		case e.verdict == leave:
			return proceed
		case e.verdict != proceed:
			return e.verdict
		case e.tail:
			return m.run(e.chain, p)
		case e.chain != "":
			if v := m.run(e.chain, p); v != proceed {
				return v
			}
		}
	}
	return proceed
}

// transit takes a packet through a node: from a process of the node's own (own), or from outside of its own network. arrived
// is true where it has come to an address of the node.
func (m *machine) transit(p *packet, own bool) (v verdict, arrived bool) {
	if own {
		if v := m.at(output, p, false); v != accept {
			return v, false
		}
		if !m.local(p.dst) {
			return m.at(postrouting, p, false), false
		}
		if v := m.at(postrouting, p, false); v != accept { // over the loopback interface
			return v, false
		}
		if v := m.at(prerouting, p, true); v != accept {
			return v, false
		}
		return m.at(input, p, true), true
	}
	if v := m.at(prerouting, p, false); v != accept {
		return v, false
	}
	if m.local(p.dst) {
		return m.at(input, p, false), true
	}
	if v := m.at(forward, p, false); v != accept {
		return v, false
	}
	return m.at(postrouting, p, false), false
}

// picks goes through all ways in which a packet's path can turn: one run for each sequence of picks.
type picks struct {
	taken, of []int
	at        int
	chance    float64 // of this run, as far as rules say
	open      bool    // a pick was made that no rule gives a chance for
}

// reset begins the next run; false when all were made.
func (c *picks) reset() bool {
	if c.of != nil {
		i := len(c.taken) - 1
		for ; i >= 0 && c.taken[i]+1 == c.of[i]; i-- {
		}
		if i < 0 {
			return false
		}
		c.taken, c.of = c.taken[:i+1], c.of[:i+1]
		c.taken[i]++
	} else {
		c.of = []int{}
	}
	c.at, c.chance, c.open = 0, 1, false
	return true
}

func (c *picks) next(n int) int {
	if c.at == len(c.taken) {
		c.taken, c.of = append(c.taken, 0), append(c.of, n)
	}
	c.at++
	return c.taken[c.at-1]
}

// random picks one of n by chance; the first one with chance first, the others equally.
func (c *picks) random(n int, first float64) int {
	i := c.next(n)
	if i == 0 {
		c.chance *= first
	} else {
		c.chance *= (1 - first) / float64(n-1)
	}
	return i
}

// either picks one of n possibilities that are not known to be chosen by chance.
func (c *picks) either(n int) int {
	if n > 1 {
		c.open = true
	}
	return c.next(n)
}
