package reach

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Allows reports whether o is one of the prediction's outcomes.
func (p Prediction) Allows(o Outcome) bool { return slices.Contains(p.Outcomes, o) }

// Wants reports whether the prediction is that a backend answers, and no other outcome is allowed.
func (p Prediction) Wants() bool { return len(p.Outcomes) == 1 && p.Outcomes[0] == Reached }

// Anything reports whether the prediction holds whatever comes of a connection: it says nothing.
func (p Prediction) Anything() bool {
	return p.Allows(Reached) && p.Allows(Refused) && p.Allows(TimedOut) && p.Allows(Unreachable)
}

// Difference is one way in which a cell is not as predicted. Want and Got are short and printable.
type Difference struct {
	// Field is what differs: "outcome", "backend", "missing backend", "affinity", "spread", "source", "cname", "addresses",
	// "host header".
	Field string `json:"field"`
	Want  string `json:"want"`
	Got   string `json:"got"`
	// Count is how many of the cell's observations show it, of Of.
	Count int `json:"count"`
	Of    int `json:"of"`
}

// String returns the difference as one line.
func (d Difference) String() string {
	return fmt.Sprintf("%s: want %s, got %s (%d of %d probes)", d.Field, d.Want, d.Got, d.Count, d.Of)
}

// Compare returns how the observations differ from the prediction; nil when they do not. Observations of probes that were
// not sent (ProbeFailed, Unprobed) neither match nor differ. If there are any, no backend counts as missing, because it
// might have answered one of those probes.
func Compare(want Prediction, cell Cell) []Difference {
	var (
		diffs   []Difference
		total   = len(cell.Observations)
		seen    = map[string]bool{}
		chosen  = map[string]int{}
		tallies = map[[3]string]int{}
	)
	note := func(field, want, got string) { tallies[[3]string{field, want, got}]++ }
	for _, o := range cell.Observations {
		if o.Outcome == ProbeFailed || o.Outcome == Unprobed {
			continue
		}
		if !want.Allows(o.Outcome) {
			note("outcome", joinOutcomes(want.Outcomes), string(o.Outcome))
			continue
		}
		if want.CNAME != "" && o.CNAME != want.CNAME {
			note("cname", want.CNAME, orNone(o.CNAME))
		}
		if resolvesOtherwise(want.Addresses, o.Addresses) || len(want.Addresses) > 0 && unresolved(cell.Target, o) {
			note("addresses", joinAddrs(want.Addresses), orNone(joinAddrs(o.Addresses)))
		}
		if o.Outcome != Reached {
			continue
		}
		seen[o.Backend] = true
		chosen[o.Backend]++
		if want.Backends != nil && !slices.Contains(want.Backends, o.Backend) {
			note("backend", orNone(strings.Join(want.Backends, " ")), orNone(o.Backend))
		}
		if len(want.Sources) > 0 && !containsAddr(want.Sources, o.Source) {
			note("source", joinPrefixes(want.Sources), addrText(o.Source))
		}
		if want.HostSeen != "" && o.HostSeen != want.HostSeen {
			note("host header", want.HostSeen, orNone(o.HostSeen))
		}
	}
	for key, count := range tallies {
		diffs = append(diffs, Difference{Field: key[0], Want: key[1], Got: key[2], Count: count, Of: total})
	}
	answered := len(seen) > 0
	if answered && want.Sticky && len(seen) > 1 {
		diffs = append(diffs, Difference{Field: "affinity", Want: "one backend for every connection",
			Got: strings.Join(sortedKeys(seen), " "), Count: len(seen), Of: total})
	}
	if sent, _, _ := cell.Probed(); sent && !want.Sticky {
		must := want.Certain
		if answered && !want.AnyBackend {
			must = want.Backends
		}
		for _, backend := range must {
			if !seen[backend] {
				diffs = append(diffs, Difference{Field: "missing backend", Want: backend,
					Got: orNone(strings.Join(sortedKeys(seen), " ")), Count: total, Of: total})
			}
		}
	}
	if want.Even {
		if skewed, _ := Skewed(counts(want.Backends, chosen)); skewed {
			diffs = append(diffs, Difference{Field: "spread", Want: fmt.Sprintf("each of %d backends as often as the others", len(want.Backends)),
				Got: Counts(chosen), Count: total, Of: total})
		}
	}
	slices.SortFunc(diffs, func(a, b Difference) int {
		return cmp.Or(cmp.Compare(a.Field, b.Field), cmp.Compare(a.Want, b.Want), cmp.Compare(a.Got, b.Got))
	})
	return diffs
}

func counts(backends []string, chosen map[string]int) []int {
	list := make([]int, len(backends))
	for i, b := range backends {
		list[i] = chosen[b]
	}
	return list
}

// Probed reports whether all probes of the cell were sent and reported. unprobed is the reason why a cell was left out
// on purpose, failed the reason why the prober could not send a probe. At most one of them is set.
func (c Cell) Probed() (ok bool, unprobed, failed string) {
	if len(c.Observations) == 0 {
		return false, "", "no observation was reported"
	}
	for _, o := range c.Observations {
		switch o.Outcome {
		case ProbeFailed:
			return false, "", cmp.Or(o.Detail, "the prober gave no reason")
		case Unprobed:
			unprobed = cmp.Or(o.Detail, "no reason was given")
		}
	}
	return unprobed == "", unprobed, ""
}

// resolvesOtherwise reports whether a name resolved to other addresses than expected. It compares nothing if one of the
// lists is empty, as for a target that is no name, and compares only the IP families that were resolved.
func resolvesOtherwise(want, got []netip.Addr) bool {
	if len(want) == 0 || len(got) == 0 {
		return false
	}
	resolved := map[bool]bool{} // IPv4 or not
	for _, addr := range got {
		resolved[addr.Unmap().Is4()] = true
		if !slices.ContainsFunc(want, func(w netip.Addr) bool { return w.Unmap() == addr.Unmap() }) {
			return true
		}
	}
	return slices.ContainsFunc(want, func(addr netip.Addr) bool {
		missing := !slices.ContainsFunc(got, func(g netip.Addr) bool { return g.Unmap() == addr.Unmap() })
		return missing && resolved[addr.Unmap().Is4()]
	})
}

// unresolved reports whether a probe ended before its target's name was resolved. "Refused" is then an answer of the DNS
// server, and says nothing about the backends of the name.
func unresolved(t Target, o Observation) bool {
	_, err := netip.ParseAddr(t.Host)
	return err != nil && t.Host != "" && len(o.Addresses) == 0 && o.Outcome != Reached && o.Outcome != NoSuchHost
}

func joinAddrs(addrs []netip.Addr) string {
	sorted := slices.Clone(addrs)
	slices.SortFunc(sorted, netip.Addr.Compare)
	texts := make([]string, len(sorted))
	for i, a := range sorted {
		texts[i] = a.String()
	}
	return strings.Join(texts, " ")
}

func containsAddr(prefixes []netip.Prefix, addr netip.Addr) bool {
	return slices.ContainsFunc(prefixes, func(p netip.Prefix) bool { return p.Contains(addr.Unmap()) })
}

func joinOutcomes(outcomes []Outcome) string {
	texts := make([]string, len(outcomes))
	for i, o := range outcomes {
		texts[i] = string(o)
	}
	return strings.Join(texts, " or ")
}

func joinPrefixes(prefixes []netip.Prefix) string {
	texts := make([]string, len(prefixes))
	for i, p := range prefixes {
		texts[i] = PrefixText(p)
	}
	return strings.Join(texts, " or ")
}

// PrefixText prints a prefix of one address as that address.
func PrefixText(p netip.Prefix) string {
	if p.IsSingleIP() {
		return p.Addr().String()
	}
	return p.String()
}

func addrText(a netip.Addr) string {
	if !a.IsValid() {
		return "none"
	}
	return a.String()
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

func sortedKeys(set map[string]bool) []string {
	keys := make([]string, 0, len(set))
	for k := range set {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
