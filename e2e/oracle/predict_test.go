package oracle

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/world"
)

// tc is one case: a change to the world, a probe, and what Kubernetes does about it.
type tc struct {
	name   string
	change func(f *fixture)
	from   string
	to     string
	family int // in which a name is resolved; 0: either
	// want are the outcomes, backends those that answer, sources the addresses that they see; each separated by
	// spaces. sources "?" means that none may be predicted.
	want, backends, sources string
	rule                    string
	sticky, any             bool
	cname, host             string
	addresses               string
	// says is a part of the reason; a final dot stands for the reason's end.
	says   string
	health bool
}

// cases are all of them.
func cases() []tc {
	return slices.Concat(clusterIPCases(), modeCases(), endpointCases(), sourceCases(), nodePortCases(), localCases(),
		loadBalancerCases(), externalIPCases(), dnsCases(), externalNameCases(), healthCases(), refinementCases(), familyCases())
}

func TestPredict(t *testing.T) {
	for _, c := range cases() {
		t.Run(c.rule+"/"+c.name, func(t *testing.T) {
			f := newFixture()
			if c.change != nil {
				c.change(f)
			}
			target := at(c.to)
			target.Family = c.family
			if c.health {
				target.Kind = reach.HealthCheck
			}
			p := New(f.Sorted()).Predict(vantage(c.from), target)
			check(t, c, p)
		})
	}
}

func check(t *testing.T, c tc, p reach.Prediction) {
	t.Helper()
	if got := words(p.Outcomes); got != c.want {
		t.Errorf("outcomes %q, want %q", got, c.want)
	}
	if got := strings.Join(p.Backends, " "); got != c.backends || slices.Contains(p.Backends, "") {
		t.Errorf("backends %q, want %q", got, c.backends)
	}
	if got := prefixes(p.Sources); c.sources != "" && got != strings.Trim(c.sources, "?") {
		t.Errorf("sources %q, want %q", got, c.sources)
	}
	if p.Rule != c.rule {
		t.Errorf("rule %q, want %q", p.Rule, c.rule)
	}
	if (p.Doubt != "") != (c.rule == ruleNodeNotReady) {
		t.Errorf("doubt %q by rule %s", p.Doubt, c.rule)
	}
	if p.Sticky != c.sticky || p.AnyBackend != c.any {
		t.Errorf("sticky %v, any backend %v; want %v, %v", p.Sticky, p.AnyBackend, c.sticky, c.any)
	}
	if p.CNAME != c.cname || p.HostSeen != c.host {
		t.Errorf("cname %q, host %q; want %q, %q", p.CNAME, p.HostSeen, c.cname, c.host)
	}
	if got := words(p.Addresses); c.addresses != "" && got != c.addresses {
		t.Errorf("addresses %q, want %q", got, c.addresses)
	}
	if c.says != "" && !strings.Contains(p.Reason+".", c.says) {
		t.Errorf("reason %q does not say %q", p.Reason, c.says)
	}
	if p.Reason == "" || !strings.HasPrefix(p.Doc, "https://") {
		t.Errorf("reason %q, document %q", p.Reason, p.Doc)
	}
	t.Log(p.Reason)
}

// TestEveryRuleHasACase keeps the list of rules and the cases together.
func TestEveryRuleHasACase(t *testing.T) {
	covered := map[string]bool{}
	for _, c := range cases() {
		covered[c.rule] = true
	}
	known := map[string]bool{}
	for _, r := range Rules() {
		if known[r.ID] {
			t.Errorf("rule %s is listed twice", r.ID)
		}
		known[r.ID] = true
		if !covered[r.ID] {
			t.Errorf("rule %s has no case", r.ID)
		}
		if !strings.HasSuffix(r.Statement, ".") || strings.Contains(r.Statement, "\n") || !strings.HasPrefix(r.Doc, "https://") {
			t.Errorf("rule %s: statement %q, document %q", r.ID, r.Statement, r.Doc)
		}
	}
	for id := range covered {
		if !known[id] {
			t.Errorf("rule %s is not listed", id)
		}
	}
}

// TestModes predicts every case in both modes: only the listed rules may differ.
func TestModes(t *testing.T) {
	differ := []string{ruleUndeclaredRefused, ruleUnallocated, ruleNodePortSecondary, ruleLocalhostNFTables, ruleLBRanges, ruleLocalhostIPv6, ruleNodePortElsewhere, ruleHealthSecondary, ruleHairpinAcross, ruleLocalhostProxied}
	for _, c := range cases() {
		f := newFixture()
		if c.change != nil {
			c.change(f)
		}
		target := at(c.to)
		target.Family = c.family
		if c.health {
			target.Kind = reach.HealthCheck
		}
		f.Facts.ProxyMode = world.ModeNFTables
		nft := Predict(f.Sorted(), vantage(c.from), target)
		f.Facts.ProxyMode = world.ModeIPTables
		ipt := Predict(f.Sorted(), vantage(c.from), target)
		same := slices.Equal(nft.Outcomes, ipt.Outcomes) && slices.Equal(nft.Backends, ipt.Backends)
		if !same && !slices.Contains(differ, nft.Rule) && ipt.Rule != ruleNoEndpointsOutput && ipt.Rule != ruleNodeNotReady {
			t.Errorf("%s: nftables %v by %s, iptables %v by %s", c.name, nft.Outcomes, nft.Rule, ipt.Outcomes, ipt.Rule)
		}
	}
}

func words[T ~string | netip.Addr](list []T) string {
	var texts []string
	for _, x := range list {
		switch v := any(x).(type) {
		case netip.Addr:
			texts = append(texts, v.String())
		case reach.Outcome:
			texts = append(texts, string(v))
		}
	}
	return strings.Join(texts, " ")
}

func prefixes(list []netip.Prefix) string {
	var texts []string
	for _, p := range list {
		texts = append(texts, reach.PrefixText(p))
	}
	slices.Sort(texts)
	return strings.Join(texts, " ")
}
