package report

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"strings"
)

// private are the texts of any cluster that say whose it is: addresses of both families, also as host names have them
// (10-0-1-2), account numbers of twelve digits, and host names of clouds. Times and image digests do not look like them.
const private = `(?i)[0-9a-f]*:[0-9a-f:]*:[0-9a-f.]*|\b\d{1,3}(?:\.\d{1,3}){3}\b|\b\d{1,3}(?:-\d{1,3}){3}\b|\b\d{12}\b|` +
	`\b[a-z0-9-]+(?:\.[a-z0-9-]+)*\.(?:amazonaws\.com(?:\.cn)?|azmk8s\.io|cloudapp\.azure\.com|googleusercontent\.com|(?:ec2|compute|internal)\.internal)\b`

// Redact returns a run without what says whose cluster it was: each of names becomes its value, and each address, account
// number and host name of a cloud another one, the same in all places. Loopback addresses stay.
func Redact(run Run, names map[string]string) (Run, error) {
	r := redactor{addrs: map[netip.Addr]netip.Addr{}, others: map[string]string{}}
	for _, name := range slices.SortedFunc(maps.Keys(names), func(a, b string) int { return len(b) - len(a) }) { // a name may contain another
		if name != "" {
			pattern := regexp.MustCompile(edge(name[:1]) + regexp.QuoteMeta(name) + edge(name[len(name)-1:]))
			r.passes = append(r.passes, func(text string) string { return pattern.ReplaceAllLiteralString(text, names[name]) })
		}
	}
	pattern := regexp.MustCompile(private)
	r.passes = append(r.passes, func(text string) string { return pattern.ReplaceAllStringFunc(text, r.replace) })
	var text bytes.Buffer
	if err := JSON(&text, run); err != nil {
		return Run{}, err
	}
	decoder := json.NewDecoder(&text)
	decoder.UseNumber()
	var document any
	if err := decoder.Decode(&document); err != nil {
		return Run{}, fmt.Errorf("redact the report: %w", err)
	}
	text.Reset()
	if err := encodeJSON(&text, "the run", "", r.value(document)); err != nil {
		return Run{}, err
	}
	return Decode(&text)
}

// edge keeps a name from matching inside a word.
func edge(letter string) string {
	if regexp.MustCompile(`\w`).MatchString(letter) {
		return `\b`
	}
	return ""
}

// redactor remembers what became what.
type redactor struct {
	passes []func(string) string
	addrs  map[netip.Addr]netip.Addr
	others map[string]string
}

func (r *redactor) text(text string) string {
	for _, pass := range r.passes {
		text = pass(text)
	}
	return text
}

// value replaces in every text of a JSON document, keys of maps included.
func (r *redactor) value(v any) any {
	switch v := v.(type) {
	case string:
		return r.text(v)
	case []any:
		for i := range v {
			v[i] = r.value(v[i])
		}
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(v)) {
			inner := v[key]
			delete(v, key)
			v[r.text(key)] = r.value(inner)
		}
	}
	return v
}

func (r *redactor) replace(found string) string {
	if addr, err := netip.ParseAddr(found); err == nil {
		return r.addr(addr.Unmap()).String()
	}
	if addr, err := netip.ParseAddr(strings.ReplaceAll(found, "-", ".")); err == nil {
		return strings.ReplaceAll(r.addr(addr).String(), ".", "-")
	}
	if strings.Trim(found, "0123456789abcdefABCDEF:.") == "" && strings.Contains(found, ":") || strings.Count(found, "-") == 3 && strings.Trim(found, "0123456789-") == "" {
		return found // a time, or 1-2-3-999: it only looks like an address
	}
	if _, known := r.others[found]; !known {
		r.others[found] = fmt.Sprintf("host-%d.example", len(r.others)+1)
		if strings.Trim(found, "0123456789") == "" {
			r.others[found] = fmt.Sprintf("%012d", len(r.others))
		}
	}
	return r.others[found]
}

// addr returns an address of the ranges for benchmarks (RFC 2544) and documentation (RFC 3849).
func (r *redactor) addr(addr netip.Addr) netip.Addr {
	if addr.IsLoopback() || addr.IsUnspecified() {
		return addr
	}
	if _, known := r.addrs[addr]; !known {
		n := len(r.addrs) + 1
		high, low := byte(n>>8), byte(n)
		r.addrs[addr] = netip.AddrFrom4([4]byte{198, 18, high, low})
		if addr.Is6() {
			r.addrs[addr] = netip.AddrFrom16([16]byte{0: 0x20, 1: 0x01, 2: 0x0d, 3: 0xb8, 14: high, 15: low})
		}
	}
	return r.addrs[addr]
}
