package main

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// nft reads the rules of a table as "nft" takes them: one command a line, as knftables prints them.
type nft struct {
	rules    *ruleset
	elements map[string]map[string]string // of sets and maps: the verdict or "" by key
	dynamic  map[string]bool              // sets that rules change
	called   []string
	words    []string // of the line that is read
	line     string
}

// parseNFT reads rules. What it does not know is an error.
func parseNFT(text string) (*ruleset, error) {
	n := &nft{rules: newRuleset(), elements: map[string]map[string]string{}, dynamic: map[string]bool{}}
	lines := strings.Split(strings.TrimSpace(text), "\n")
	// Elements come last, and rules refer to their sets.
	for _, pass := range []string{"table chain set map counter", "element", "rule"} {
		for _, n.line = range lines {
			line, err := uncommented(n.line)
			if err != nil {
				return nil, err
			}
			n.words = strings.Fields(line)
			if len(n.words) < 4 || n.words[0] != "add" || n.words[2] != "ip" && n.words[2] != "ip6" {
				return nil, fmt.Errorf("not understood: %q", n.line)
			}
			kind := n.words[1]
			if !slices.Contains([]string{"table", "chain", "set", "map", "counter", "element", "rule"}, kind) {
				return nil, fmt.Errorf("not understood: %q", n.line)
			}
			if !slices.Contains(strings.Fields(pass), kind) {
				continue
			}
			n.words = n.words[4:] // without "add KIND FAMILY TABLE"
			if err := n.object(kind); err != nil {
				return nil, fmt.Errorf("%w in %q", err, n.line)
			}
		}
	}
	return n.rules, n.rules.check(n.called)
}

// refusal is an error of the rules, not of the reader: nft would refuse them, and with them all that came in the same transaction.
type refusal string

func (r refusal) Error() string { return string(r) }

// longestComment is what nft accepts: NFTNL_UDATA_COMMENT_MAXLEN of nftables.
const longestComment = 128

// uncommented is a line without its comments. They have no quotes inside. nft refuses all commands where one has a comment that is
// too long.
func uncommented(line string) (string, error) {
	for {
		before, rest, found := strings.Cut(line, ` comment "`)
		if !found {
			return line, nil
		}
		comment, after, closed := strings.Cut(rest, `"`)
		if !closed {
			return line, nil
		}
		if len(comment) > longestComment {
			return "", refusal(fmt.Sprintf("nft refuses a comment of %d characters: %q", len(comment), comment))
		}
		line = before + after
	}
}

// take takes the next words where they are those.
func (n *nft) take(words ...string) bool {
	if len(n.words) < len(words) || !slices.Equal(n.words[:len(words)], words) {
		return false
	}
	n.words = n.words[len(words):]
	return true
}

// word takes one word; "" at the end.
func (n *nft) word() string {
	if len(n.words) == 0 {
		return ""
	}
	w := n.words[0]
	n.words = n.words[1:]
	return w
}

// braced takes "{ a , b }" and returns a and b.
func (n *nft) braced() ([]string, error) {
	if !n.take("{") {
		return nil, fmt.Errorf("a list expected")
	}
	end := slices.Index(n.words, "}")
	if end < 0 {
		return nil, fmt.Errorf("a list without end")
	}
	var list []string
	for item := range strings.SplitSeq(strings.Join(n.words[:end], " "), ",") {
		list = append(list, strings.TrimSpace(item))
	}
	n.words = n.words[end+1:]
	return list, nil
}

func (n *nft) object(kind string) error {
	name := n.word()
	switch kind {
	case "table", "counter":
		return nil
	case "chain":
		n.rules.chains[name] = nil
		return n.hook(name)
	case "set", "map":
		n.elements[name] = map[string]string{}
		n.dynamic[name] = slices.Contains(n.words, "dynamic") || slices.Contains(n.words, "dynamic,timeout") || slices.Contains(n.words, "dynamic,timeout;")
		return nil
	case "element":
		list, err := n.braced()
		if err != nil || len(list) != 1 || n.elements[name] == nil {
			return fmt.Errorf("an element of a set expected")
		}
		key, value, _ := strings.Cut(list[0], " : ")
		n.elements[name][key] = value
		return nil
	default:
		r := rule{text: strings.Join(n.words, " ")}
		for len(n.words) > 0 {
			ops, err := n.statement()
			if err != nil {
				return err
			}
			r.ops = append(r.ops, ops...)
		}
		n.rules.chains[name] = append(n.rules.chains[name], r)
		return nil
	}
}

// hook reads "{ type nat hook prerouting priority -100 ; }". Other chains have nothing, or a comment.
func (n *nft) hook(chain string) error {
	list := strings.Trim(strings.Join(n.words, " "), "{}; ")
	if list == "" {
		return nil
	}
	var kind, at, priority string
	if _, err := fmt.Sscanf(list, "type %s hook %s priority %s", &kind, &at, &priority); err != nil || kind != "nat" && kind != "filter" {
		return fmt.Errorf("unknown kind of base chain: %q", list)
	}
	number, err := strconv.Atoi(priority)
	if err != nil || !slices.Contains([]hook{prerouting, input, forward, output, postrouting}, hook(at)) {
		return fmt.Errorf("unknown base chain: %q", list)
	}
	n.rules.attach(hook(at), base{chain: chain, nat: kind == "nat", priority: number})
	return nil
}

// decision reads what a verdict map or the end of a rule decides.
func (n *nft) decision(text string) (effect, error) {
	what, chain, _ := strings.Cut(text, " ")
	switch {
	case what == "goto" || what == "jump":
		n.called = append(n.called, chain)
		return effect{ok: true, chain: chain, tail: what == "goto"}, nil
	case text == "drop":
		return effect{ok: true, verdict: drop}, nil
	case text == "reject":
		return effect{ok: true, verdict: reject}, nil
	case text == "accept":
		return effect{ok: true, verdict: accept}, nil
	case text == "return":
		return effect{ok: true, verdict: leave}, nil
	default:
		return effect{}, fmt.Errorf("unknown verdict %q", text)
	}
}

// field is a part of a packet, as a key of sets has it.
type field func(p *packet) string

// fields reads "ip daddr . meta l4proto . th dport". None where the next words name no field.
func (n *nft) fields() ([]field, error) {
	var list []field
	for {
		switch {
		case n.take("ip", "daddr"), n.take("ip6", "daddr"):
			list = append(list, func(p *packet) string { return p.dst.String() })
		case n.take("ip", "saddr"), n.take("ip6", "saddr"):
			list = append(list, func(p *packet) string { return p.src.String() })
		case n.take("meta", "l4proto"):
			list = append(list, func(p *packet) string { return p.protocol })
		case len(n.words) > 1 && slices.Contains([]string{"tcp", "udp", "sctp"}, n.words[0]) && n.words[1] == "dport": // before v1.36
			protocol := n.word()
			n.word()
			list = append(list, func(p *packet) string {
				if p.protocol != protocol {
					return ""
				}
				return strconv.Itoa(int(p.dport))
			})
		case n.take("th", "dport"):
			list = append(list, func(p *packet) string { return strconv.Itoa(int(p.dport)) })
		case len(list) == 0:
			return nil, nil
		default:
			return nil, fmt.Errorf("a field expected before %q", strings.Join(n.words, " "))
		}
		if !n.take(".") {
			return list, nil
		}
	}
}

func key(fields []field, p *packet) string {
	parts := make([]string, len(fields))
	for i, f := range fields {
		parts[i] = f(p)
	}
	return strings.Join(parts, " . ")
}

// statement reads one condition or action.
func (n *nft) statement() ([]op, error) {
	fields, err := n.fields()
	if err != nil {
		return nil, err
	}
	if fields != nil {
		return n.comparison(fields)
	}
	switch {
	case n.take("ct", "state", "new"):
		return nil, nil // only first packets are followed
	case len(n.words) > 1 && n.words[0] == "iif": // the name of an interface that is there, not a pattern
		n.word()
		n.take("!=")
		return nil, refusal(fmt.Sprintf("nft refuses the rule, as no interface is called %q", n.word()))
	case n.take("iifname", podInterfaces+"*"):
		return []op{when(func(_ *machine, p *packet) bool { return p.link })}, nil
	case n.take("iifname", "!=", podInterfaces+"*"):
		return []op{when(func(_ *machine, p *packet) bool { return !p.link })}, nil
	case n.take("ct", "status", "dnat"):
		return []op{when(func(_ *machine, p *packet) bool { return p.dnat })}, nil
	case n.take("fib", "saddr", "type", "local"):
		return []op{when(func(m *machine, p *packet) bool { return m.local(p.src) })}, nil
	case n.take("fib", "daddr", "type", "local"):
		return []op{when(func(m *machine, p *packet) bool { return m.local(p.dst) })}, nil
	case n.take("mark", "set", "mark", "or"):
		return n.marking(func(mark, bits uint32) uint32 { return mark | bits })
	case n.take("mark", "set", "mark", "xor"):
		return n.marking(func(mark, bits uint32) uint32 { return mark ^ bits })
	case n.take("mark", "and"):
		bits, err := strconv.ParseUint(n.word(), 0, 32)
		set := n.take("!=", "0")
		if err != nil || !set && !n.take("==", "0") {
			return nil, fmt.Errorf("unknown comparison of the mark")
		}
		return []op{when(func(_ *machine, p *packet) bool { return (p.mark&uint32(bits) != 0) == set })}, nil
	case n.take("masquerade", "fully-random"):
		return []op{func(_ *machine, p *packet) effect { p.masq = true; return effect{ok: true, verdict: accept} }}, nil
	case n.take("counter", "name"):
		n.word()
		return nil, nil
	case n.take("update"):
		return n.update()
	case n.take("dnat"):
		return n.dnat()
	case n.take("numgen", "random", "mod"):
		return n.spread("vmap")
	}
	words := 1
	if first := n.words[0]; first == "jump" || first == "goto" {
		words = min(2, len(n.words))
	}
	e, err := n.decision(strings.Join(n.words[:words], " "))
	n.words = n.words[words:]
	return []op{func(*machine, *packet) effect { return e }}, err
}

// comparison reads what fields are compared with: a set, a verdict map, a list, or one value.
func (n *nft) comparison(fields []field) ([]op, error) {
	if n.take("vmap") {
		elements, exists := n.elements[strings.TrimPrefix(n.word(), "@")]
		if !exists {
			return nil, fmt.Errorf("unknown map")
		}
		effects := map[string]effect{}
		for k, text := range elements {
			e, err := n.decision(text)
			if err != nil {
				return nil, err
			}
			effects[k] = e
		}
		return []op{func(_ *machine, p *packet) effect { return effects[key(fields, p)] }}, nil
	}
	is := !n.take("!=")
	if len(n.words) == 0 {
		return nil, fmt.Errorf("nothing to compare with")
	}
	if name, isSet := strings.CutPrefix(n.words[0], "@"); isSet {
		n.word()
		elements, exists := n.elements[name]
		switch {
		case !exists:
			return nil, fmt.Errorf("unknown set")
		case n.dynamic[name]:
			return []op{when(func(m *machine, _ *packet) bool { return m.affinity[m.node+" "+name] == is })}, nil
		}
		return []op{when(func(_ *machine, p *packet) bool { _, has := elements[key(fields, p)]; return has == is })}, nil
	}
	list := []string{n.words[0]}
	if list[0] == "{" {
		var err error
		if list, err = n.braced(); err != nil {
			return nil, err
		}
	} else {
		n.word()
	}
	if len(fields) > 1 {
		return nil, fmt.Errorf("a set expected")
	}
	var prefixes []netip.Prefix
	for _, text := range list {
		prefix, err := parsePrefix(text)
		switch {
		case err == nil:
			prefixes = append(prefixes, prefix)
		case text != "tcp" && text != "udp" && text != "sctp" && !number(text):
			return nil, fmt.Errorf("unknown value %q", text)
		}
	}
	return []op{when(func(_ *machine, p *packet) bool {
		value := fields[0](p)
		addr, err := netip.ParseAddr(value)
		in := slices.Contains(list, value) || err == nil && slices.ContainsFunc(prefixes, func(x netip.Prefix) bool { return x.Contains(addr) })
		return in == is
	})}, nil
}

func number(text string) bool {
	_, err := strconv.ParseUint(text, 10, 16)
	return err == nil
}

// parsePrefix reads a prefix, or an address as the prefix that has no other.
func parsePrefix(text string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(text); err == nil {
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	return netip.ParsePrefix(text)
}

func (n *nft) marking(change func(mark, bits uint32) uint32) ([]op, error) {
	bits, err := strconv.ParseUint(n.word(), 0, 32)
	return []op{func(_ *machine, p *packet) effect { p.mark = change(p.mark, uint32(bits)); return effect{ok: true} }}, err
}

// update reads "@affinity-… { ip saddr }".
func (n *nft) update() ([]op, error) {
	name := strings.TrimPrefix(n.word(), "@")
	list, err := n.braced()
	if err != nil || !n.dynamic[name] || len(list) != 1 || list[0] != "ip saddr" && list[0] != "ip6 saddr" {
		return nil, fmt.Errorf("unknown update")
	}
	return []op{func(m *machine, _ *packet) effect { m.recorded[m.node+" "+name] = true; return effect{ok: true} }}, nil
}

// dnat reads "to ADDR:PORT", or "ip addr . port to numgen random mod N map { 0 : ADDR . PORT , … }".
func (n *nft) dnat() ([]op, error) {
	if n.take("to") {
		to, err := netip.ParseAddrPort(n.word())
		return []op{func(_ *machine, p *packet) effect { return p.redirect(to) }}, err
	}
	if !n.take("ip", "addr", ".", "port", "to", "numgen", "random", "mod") && !n.take("ip6", "addr", ".", "port", "to", "numgen", "random", "mod") {
		return nil, fmt.Errorf("unknown dnat")
	}
	return n.spread("map")
}

// redirect gives a packet its new destination.
func (p *packet) redirect(to netip.AddrPort) effect {
	p.dst, p.dport, p.dnat = to.Addr(), to.Port(), true
	return effect{ok: true, verdict: accept}
}

// spread reads "N map { 0 : ADDR . PORT , … }" and "N vmap { 0 : goto CHAIN , … }".
func (n *nft) spread(kind string) ([]op, error) {
	number, err := strconv.Atoi(n.word())
	if err != nil || number < 1 || !n.take(kind) {
		return nil, fmt.Errorf("unknown numgen")
	}
	list, err := n.braced()
	if err != nil || len(list) != number {
		return nil, fmt.Errorf("%d values expected", number)
	}
	results := make([]func(*packet) effect, number)
	for i, item := range list {
		k, value, _ := strings.Cut(item, " : ")
		if k != strconv.Itoa(i) {
			return nil, fmt.Errorf("value %d expected", i)
		}
		if kind == "vmap" {
			e, err := n.decision(value)
			if err != nil {
				return nil, err
			}
			results[i] = func(*packet) effect { return e }
			continue
		}
		addr, port, _ := strings.Cut(value, " . ")
		to, err := netip.ParseAddrPort(joinHostPort(addr, port))
		if err != nil {
			return nil, err
		}
		results[i] = func(p *packet) effect { return p.redirect(to) }
	}
	return []op{func(m *machine, p *packet) effect {
		return results[m.picks.random(number, 1/float64(number))](p)
	}}, nil
}

func joinHostPort(host, port string) string {
	if strings.Contains(host, ":") {
		return "[" + host + "]:" + port
	}
	return host + ":" + port
}
