package oracle

import (
	"net/netip"
	"testing"

	"github.com/svclab/svclab/e2e/reach"
)

// What any of several predictions allows is allowed, and what only some of them require is not required.
func TestUnion(t *testing.T) {
	at := func(backend string, sticky, anyOf bool, sources ...netip.Prefix) prediction {
		return prediction{Prediction: reach.Prediction{Outcomes: []reach.Outcome{reach.Reached}, Backends: []string{backend}, Sticky: sticky, AnyBackend: anyOf, Sources: sources, Rule: "first", Reason: "first"}}
	}
	one := netip.MustParsePrefix("172.18.0.3/32")
	for name, c := range map[string]struct {
		a, b          prediction
		sticky, anyOf bool
		sources       string
		rule          string
	}{
		"the same":                        {at("a", true, false, one), at("a", true, false, one), true, false, "172.18.0.3", "first"},
		"one keeps clients":               {at("a", true, false), at("a", false, false), false, false, "", "first"},
		"any backend of one":              {at("a", false, true), at("a", false, false), false, true, "", "first"},
		"sources of one only":             {at("a", false, false, one), at("a", false, false), false, false, "", "first"},
		"other backends":                  {at("a", false, false), at("b", false, false), false, true, "", "either"},
		"the other reaches no backend":    {at("a", true, false, one), outcome("", reach.Phrase{}, reach.Refused), true, true, "172.18.0.3", "either"},
		"the first reaches no backend":    {outcome("", reach.Phrase{}, reach.Refused), at("a", true, false, one), true, true, "172.18.0.3", "either"},
		"no backend is reached by either": {outcome("first", reach.Phrase{}, reach.Refused), outcome("", reach.Phrase{}, reach.Refused), false, false, "", "first"},
	} {
		u := union("either", reach.Phrase{}, c.a, c.b)
		if u.Sticky != c.sticky || u.AnyBackend != c.anyOf || prefixes(u.Sources) != c.sources || u.Rule != c.rule {
			t.Errorf("%s: %+v", name, u)
		}
	}
}
