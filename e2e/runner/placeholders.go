package runner

import (
	"context"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"github.com/svclab/svclab/e2e/world"
)

// placeholder finds what only the run knows: {clusterIP:SERVICE}, {loadBalancerIP:SERVICE}, {podIP:POD}, {podLabel:POD},
// {nodeIP:SLOT}, {nodeIPv6:SLOT}, {vantageIP:VANTAGE}.
var placeholder = regexp.MustCompile(`\{(clusterIP|loadBalancerIP|podIP|podLabel|nodeIP|nodeIPv6|vantageIP):([a-z0-9.-]+)\}`)

// filled is fill for texts that may speak of several objects: the first address of a Service or a pod of the
// scenario's namespace, a pod's address as a DNS label, a node's address. What is not there is an error.
func (s site) filled(text string) (string, error) {
	var missing error
	out := placeholder.ReplaceAllStringFunc(s.fill(text), func(found string) string {
		parts := placeholder.FindStringSubmatch(found)
		value := s.known(parts[1], parts[2])
		if value == "" && missing == nil {
			missing = fmt.Errorf("%q: there is nothing to fill in for %s", text, found)
		}
		return value
	})
	if missing == nil && strings.Contains(out, "{") {
		missing = fmt.Errorf("%q: nothing is known to fill in", text)
	}
	return out, missing
}

// known is what a placeholder stands for; empty where the object, or its address, is not there.
func (s site) known(what, name string) string {
	switch what {
	case "nodeIP", "nodeIPv6":
		for i := range s.world.Nodes {
			if node := &s.world.Nodes[i]; node.Name == s.world.Facts.Slots[name] {
				for _, addr := range world.NodeAddrs(node) {
					if what == "nodeIP" || addr.Is6() {
						return addr.String()
					}
				}
			}
		}
		return ""
	case "vantageIP":
		for _, v := range s.vantages {
			if v.Name == name && len(v.Addrs) > 0 {
				return v.Addrs[0].String()
			}
		}
		return ""
	case "loadBalancerIP":
		if service, found := s.world.Service(s.namespace + "/" + name); found {
			for _, ingress := range world.Ingresses(&service) {
				return ingress.Addr.String()
			}
		}
		return ""
	case "clusterIP":
		if service, found := s.world.Service(s.namespace + "/" + name); found {
			for _, addr := range world.ClusterIPs(&service) {
				return addr.String()
			}
		}
		return ""
	}
	for i := range s.world.Pods {
		pod := &s.world.Pods[i]
		if pod.Namespace != s.namespace || pod.Name != name && (pod.GenerateName == "" || !strings.HasPrefix(pod.Name, name+"-")) {
			continue
		}
		for _, addr := range world.PodAddrs(pod) {
			if what == "podLabel" {
				return world.DashedAddr(addr)
			}
			return addr.String()
		}
	}
	return ""
}

// nodeAt is the node that has an address; empty where none has.
func (s site) nodeAt(text string) string {
	addr, err := netip.ParseAddr(text)
	if err != nil {
		return ""
	}
	for i := range s.world.Nodes {
		if slices.Contains(world.NodeAddrs(&s.world.Nodes[i]), addr) {
			return s.world.Nodes[i].Name
		}
	}
	return ""
}

// fillIn fills in the texts of a patch, where it has placeholders.
func (s *session) fillIn(ctx context.Context, value any) (any, error) {
	if !mentions(value) {
		return value, nil
	}
	w, err := s.snapshot(ctx)
	if err != nil {
		return nil, err
	}
	return site{namespace: s.namespace, world: w, vantages: s.vantages}.filledAll(value)
}

// mentions reports whether a text in value has a placeholder.
func mentions(value any) bool {
	switch v := value.(type) {
	case string:
		return placeholder.MatchString(v)
	case map[string]any:
		for _, inner := range v {
			if mentions(inner) {
				return true
			}
		}
	case []any:
		return slices.ContainsFunc(v, mentions)
	}
	return false
}

func (s site) filledAll(value any) (any, error) {
	var err error
	switch v := value.(type) {
	case string:
		if !placeholder.MatchString(v) {
			return v, nil
		}
		return s.filled(v)
	case map[string]any:
		out := make(map[string]any, len(v))
		for key, inner := range v {
			if out[key], err = s.filledAll(inner); err != nil {
				return nil, err
			}
		}
		return out, nil
	case []any:
		out := make([]any, len(v))
		for i, inner := range v {
			if out[i], err = s.filledAll(inner); err != nil {
				return nil, err
			}
		}
		return out, nil
	default:
		return v, nil
	}
}
