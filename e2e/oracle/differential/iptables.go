package main

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// ipt reads rules as iptables-save prints them.
type ipt struct {
	rules  *ruleset
	table  string
	called []string
	words  []string
}

// parseIPTables reads rules. What it does not know is an error.
func parseIPTables(text string) (*ruleset, error) {
	t := &ipt{rules: newRuleset()}
	for line := range strings.SplitSeq(strings.TrimSpace(text), "\n") {
		var err error
		switch {
		case strings.HasPrefix(line, "*"):
			t.table = line[1:]
		case line == "COMMIT":
			t.table = ""
		case strings.HasPrefix(line, ":"):
			err = t.chain(strings.Fields(line[1:]))
		case strings.HasPrefix(line, "-A "):
			err = t.rule(line)
		default:
			err = fmt.Errorf("unknown command")
		}
		if err != nil {
			return nil, fmt.Errorf("%w in table %s: %q", err, t.table, line)
		}
	}
	return t.rules, t.rules.check(t.called)
}

// The priorities of the tables' chains are those of the kernel (NF_IP_PRI_…).
const (
	priorityDNAT   = -100
	priorityFilter = 0
	prioritySNAT   = 100
)

// chain reads ":NAME POLICY [0:0]". Chains of users have the policy "-", and the fake gives it to those of the kernel too.
func (t *ipt) chain(words []string) error {
	if len(words) < 2 || words[1] != "-" && words[1] != "ACCEPT" {
		return fmt.Errorf("unknown policy")
	}
	name := t.table + " " + words[0]
	t.rules.chains[name] = nil
	h := hook(strings.ToLower(words[0]))
	if !slices.Contains([]hook{prerouting, input, forward, output, postrouting}, h) {
		return nil
	}
	switch {
	case t.table == "filter":
		t.rules.attach(h, base{chain: name, priority: priorityFilter})
	case t.table == "nat" && (h == prerouting || h == output):
		t.rules.attach(h, base{chain: name, nat: true, priority: priorityDNAT})
	case t.table == "nat":
		t.rules.attach(h, base{chain: name, nat: true, priority: prioritySNAT})
	default:
		return fmt.Errorf("unknown base chain")
	}
	return nil
}

func (t *ipt) word() string {
	if len(t.words) == 0 {
		return ""
	}
	w := t.words[0]
	t.words = t.words[1:]
	return w
}

// take takes the next words where they are those.
func (t *ipt) take(words ...string) bool {
	if len(t.words) < len(words) || !slices.Equal(t.words[:len(words)], words) {
		return false
	}
	t.words = t.words[len(words):]
	return true
}

func (t *ipt) rule(line string) error {
	t.words = quoted(line)
	t.word()
	name := t.table + " " + t.word()
	r := rule{text: strings.Join(t.words, " ")}
	if _, exists := t.rules.chains[name]; !exists {
		return fmt.Errorf("rule of an unknown chain")
	}
	for len(t.words) > 0 {
		o, err := t.part()
		if err != nil {
			return err
		}
		if o != nil {
			r.ops = append(r.ops, o)
		}
	}
	if len(r.ops) == 0 { // kube-proxy ends a firewall chain with a comment
		r.ops = append(r.ops, always(proceed))
	}
	t.rules.chains[name] = append(t.rules.chains[name], r)
	return nil
}

// quoted splits a line at spaces outside of quotes.
func quoted(line string) []string {
	var words []string
	for i, part := range strings.Split(line, `"`) {
		if i%2 == 1 {
			words = append(words, part)
			continue
		}
		words = append(words, strings.Fields(part)...)
	}
	return words
}

// part reads one condition, or the rule's target.
func (t *ipt) part() (op, error) {
	is := !t.take("!")
	match := func(condition func(m *machine, p *packet) bool) (op, error) {
		return when(func(m *machine, p *packet) bool { return condition(m, p) == is }), nil
	}
	switch {
	case t.take("-m", "comment", "--comment"):
		for t.word(); len(t.words) > 0 && !strings.HasPrefix(t.words[0], "-") && t.words[0] != "!"; {
			t.word() // the fake's own text has no quotes
		}
		return nil, nil
	case t.take("-m", "tcp"), t.take("-m", "udp"), t.take("-m", "sctp"), t.take("-m", "conntrack"), t.take("-m", "mark"), t.take("-m", "addrtype"):
		return nil, nil
	case t.take("-p"):
		protocol := t.word()
		return match(func(_ *machine, p *packet) bool { return p.protocol == protocol })
	case t.take("-d"):
		prefix, err := parsePrefix(t.word())
		if err != nil {
			return nil, err
		}
		return match(func(_ *machine, p *packet) bool { return prefix.Contains(p.dst) })
	case t.take("-s"):
		prefix, err := parsePrefix(t.word())
		if err != nil {
			return nil, err
		}
		return match(func(_ *machine, p *packet) bool { return prefix.Contains(p.src) })
	case t.take("--dport"):
		port, err := strconv.ParseUint(t.word(), 10, 16)
		if err != nil {
			return nil, err
		}
		return match(func(_ *machine, p *packet) bool { return p.dport == uint16(port) })
	case t.take("-i", podInterfaces+"+"):
		return match(func(_ *machine, p *packet) bool { return p.link })
	case t.take("--dst-type", "LOCAL"):
		return match(func(m *machine, p *packet) bool { return m.local(p.dst) })
	case t.take("--src-type", "LOCAL"):
		return match(func(m *machine, p *packet) bool { return m.local(p.src) })
	case t.take("--ctstate"):
		return t.states(is)
	case t.take("--mark"):
		var value, mask uint32
		if _, err := fmt.Sscanf(t.word(), "0x%x/0x%x", &value, &mask); err != nil {
			return nil, err
		}
		return match(func(_ *machine, p *packet) bool { return p.mark&mask == value })
	case !is:
		return nil, fmt.Errorf("unknown condition after %q", "!")
	case t.take("-m", "statistic", "--mode", "random", "--probability"):
		chance, err := strconv.ParseFloat(t.word(), 64)
		return when(func(m *machine, _ *packet) bool { return m.picks.random(2, chance) == 0 }), err
	case t.take("-m", "recent", "--name"):
		return t.recent()
	case t.take("-j"):
		return t.target()
	default:
		return nil, fmt.Errorf("unknown part %q", strings.Join(t.words, " "))
	}
}

// states compares the state of a connection with that of a first packet.
func (t *ipt) states(is bool) (op, error) {
	var isNew, isDNAT bool
	for state := range strings.SplitSeq(t.word(), ",") {
		switch state {
		case "NEW":
			isNew = true
		case "DNAT":
			isDNAT = true
		case "RELATED", "ESTABLISHED", "INVALID":
		default:
			return nil, fmt.Errorf("unknown state %q", state)
		}
	}
	return when(func(_ *machine, p *packet) bool { return (isNew || isDNAT && p.dnat) == is }), nil
}

// recent reads "NAME --rcheck --seconds N --reap" and "NAME --set".
func (t *ipt) recent() (op, error) {
	name := t.word()
	switch {
	case t.take("--set"):
		return func(m *machine, _ *packet) effect { m.recorded[m.node+" "+name] = true; return effect{ok: true} }, nil
	case t.take("--rcheck", "--seconds"):
		t.word()
		if t.take("--reap") {
			return when(func(m *machine, _ *packet) bool { return m.affinity[m.node+" "+name] }), nil
		}
	}
	return nil, fmt.Errorf("unknown use of recent")
}

func (t *ipt) target() (op, error) {
	switch target := t.word(); target {
	case "ACCEPT":
		return always(accept), nil
	case "DROP":
		return always(drop), nil
	case "REJECT":
		return always(reject), nil
	case "RETURN":
		return always(leave), nil
	case "MASQUERADE":
		t.take("--random-fully")
		return func(_ *machine, p *packet) effect { p.masq = true; return effect{ok: true, verdict: accept} }, nil
	case "DNAT":
		if !t.take("--to-destination") {
			return nil, fmt.Errorf("unknown DNAT")
		}
		to, err := netip.ParseAddrPort(t.word())
		return func(_ *machine, p *packet) effect { return p.redirect(to) }, err
	case "MARK":
		how := t.word()
		bits, err := strconv.ParseUint(t.word(), 0, 32)
		switch how {
		case "--or-mark":
			return func(_ *machine, p *packet) effect { p.mark |= uint32(bits); return effect{ok: true} }, err
		case "--xor-mark":
			return func(_ *machine, p *packet) effect { p.mark ^= uint32(bits); return effect{ok: true} }, err
		}
		return nil, fmt.Errorf("unknown MARK")
	default:
		chain := t.table + " " + target
		t.called = append(t.called, chain)
		return func(*machine, *packet) effect { return effect{ok: true, chain: chain} }, nil
	}
}
