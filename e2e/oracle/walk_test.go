package oracle

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/world"
)

// A walk must say what the prediction says: the same backends, source addresses and outcomes.
func disagrees(w Walk) string {
	var (
		p        = w.Prediction
		backends []string
		outcomes []reach.Outcome
	)
	if w.Target.Port == 0 {
		return ""
	}
	for _, way := range w.Ways {
		outcomes = append(outcomes, way.Outcomes...)
		if len(way.Hops) == 0 || way.Reason == "" {
			return "a way without hops or reason"
		}
		switch last := way.Hops[len(way.Hops)-1].Kind; {
		case last != HopReceive && last != HopEnd:
			return "a way that does not end: " + string(last)
		case slices.Contains(way.Outcomes, reach.Reached) && way.Endpoint.IsValid() && last != HopReceive && p.Allows(reach.Reached):
			return "a way that is answered and does not lead back"
		}
		if !slices.Contains(way.Outcomes, reach.Reached) {
			continue
		}
		if way.Backend != "kube-proxy" {
			backends = append(backends, way.Backend)
		}
		for _, h := range way.Hops {
			if h.Kind != HopPod || len(p.Sources) == 0 || len(way.Outcomes) > 1 {
				continue
			}
			for _, src := range h.Packet.Src {
				if !slices.ContainsFunc(p.Sources, func(allowed netip.Prefix) bool { return allowed.Bits() <= src.Bits() && allowed.Contains(src.Addr()) }) {
					return "the endpoint sees " + src.String() + ", which is not predicted"
				}
			}
		}
	}
	slices.Sort(backends)
	backends = slices.Compact(backends)
	for _, o := range outcomes {
		if !p.Allows(o) && len(p.Outcomes) > 0 {
			return "a way ends with " + string(o)
		}
	}
	if p.Rule == ruleHealthServing || p.Rule == ruleHealthNotServing {
		return ""
	}
	if !w.Open && len(p.Backends) > 0 && !slices.Equal(backends, p.Backends) {
		return "the ways lead to other backends"
	}
	return ""
}

func TestWalksSayWhatIsPredicted(t *testing.T) {
	for _, c := range cases() {
		t.Run(c.rule+"/"+c.name, func(t *testing.T) {
			for _, mode := range []string{"", world.ModeNFTables, world.ModeIPTables} {
				f := newFixture()
				if c.change != nil {
					c.change(f)
				}
				if mode != "" {
					f.Facts.ProxyMode = mode
				}
				target := at(c.to)
				target.Family = c.family
				if c.health {
					target.Kind = reach.HealthCheck
				}
				w := New(f.Sorted()).Walk(vantage(c.from), target)
				if why := disagrees(w); why != "" {
					t.Errorf("%s\npredicted %v %v %v\n%+v", why, w.Prediction.Outcomes, w.Prediction.Backends, w.Prediction.Sources, w.Ways)
				}
				if f.Facts.PodToNode == world.EgressNode && keptAcross(w) {
					t.Errorf("a pod's packet keeps its source address on the way to another node's own\n%+v", w.Ways)
				}
			}
		})
	}
}

// keptAcross says whether a pod's packet leaves its node for another node's own address with the pod's address.
func keptAcross(w Walk) bool {
	for _, way := range w.Ways {
		for i, h := range way.Hops {
			to := slices.Index([]string{cp, one, two}, h.Packet.Dst.Addr().String())
			if w.Vantage.Kind != reach.Pod || h.Kind != HopLeave || h.Reply || to < 0 || i+1 == len(way.Hops) || way.Hops[i+1].Kind != HopEnter {
				continue
			}
			if slices.ContainsFunc(h.Packet.Src, func(p netip.Prefix) bool { return slices.ContainsFunc(w.Vantage.Addrs, p.Contains) }) {
				return true
			}
		}
	}
	return false
}
