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
// {nodeIP:SLOT}, {vantageIP:VANTAGE}: of several addresses the first. {nodeIPv6:SLOT} is the first of IPv6, and
// {podIPs:POD} all of them; each of the others can be written so too. {formerIP:SERVICE} is the ClusterIP that a Service
// had before it was deleted.
var placeholder = regexp.MustCompile(`\{(clusterIP|formerIP|loadBalancerIP|podIP|podLabel|nodeIP|vantageIP)(s|v6)?:([a-z0-9.-]+)\}`)

// filled is fill for texts that may speak of several objects: the addresses of a Service or a pod of the scenario's
// namespace, a pod's address as a DNS label, a node's address, a vantage's. What is not there is an error. A text that
// speaks of all addresses is there for each of them, with commas between.
func (s site) filled(text string) (string, error) {
	each, err := s.filledEach(text, nil)
	return strings.Join(each, ","), err
}

// filledEach fills in a text that speaks of all addresses as often as there are any that keep is for; a nil keep is for
// all. Any other text is there once.
func (s site) filledEach(text string, keep func(netip.Addr) bool) ([]string, error) {
	texts := []string{s.fill(text)}
	for _, parts := range placeholder.FindAllStringSubmatch(texts[0], -1) {
		found, what, which := parts[0], parts[1], parts[2]
		addrs := s.known(what, parts[3])
		if which == "v6" {
			addrs = slices.DeleteFunc(addrs, netip.Addr.Is4)
		}
		if len(addrs) == 0 {
			return nil, fmt.Errorf("%q: there is nothing to fill in for %s", text, found)
		}
		switch {
		case which != "s":
			addrs = addrs[:1]
		case keep != nil:
			addrs = slices.DeleteFunc(addrs, func(a netip.Addr) bool { return !keep(a) })
		}
		var each []string
		for _, t := range texts {
			for _, addr := range addrs {
				value := addr.String()
				if what == "podLabel" {
					value = world.DashedAddr(addr)
				}
				each = append(each, strings.ReplaceAll(t, found, value))
			}
		}
		texts = each
	}
	if slices.ContainsFunc(texts, func(t string) bool { return strings.Contains(t, "{") }) {
		return nil, fmt.Errorf("%q: nothing is known to fill in", text)
	}
	return texts, nil
}

// known are the addresses that a placeholder stands for; none where the object, or its address, is not there.
func (s site) known(what, name string) []netip.Addr {
	switch what {
	case "nodeIP":
		for i := range s.world.Nodes {
			if node := &s.world.Nodes[i]; node.Name == s.world.Facts.Slots[name] {
				return slices.Clone(world.NodeAddrs(node))
			}
		}
		return nil
	case "vantageIP":
		for _, v := range s.vantages {
			if v.Name == name {
				return slices.Clone(v.Addrs)
			}
		}
		return nil
	case "loadBalancerIP":
		var addrs []netip.Addr
		if service, found := s.world.Service(s.namespace + "/" + name); found {
			for _, ingress := range world.Ingresses(&service) {
				addrs = append(addrs, ingress.Addr)
			}
		}
		return addrs
	case "formerIP":
		if _, there := s.world.Service(s.namespace + "/" + name); !there {
			return slices.Clone(s.former[name])
		}
		return nil
	case "clusterIP":
		if service, found := s.world.Service(s.namespace + "/" + name); found {
			return world.ClusterIPs(&service)
		}
		return nil
	}
	for i := range s.world.Pods {
		pod := &s.world.Pods[i]
		if pod.Namespace != s.namespace || pod.Name != name && (pod.GenerateName == "" || !strings.HasPrefix(pod.Name, name+"-")) {
			continue
		}
		if addrs := world.PodAddrs(pod); len(addrs) > 0 {
			return addrs
		}
	}
	return nil
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

// filledAll fills in the texts of a patch. One in a list that speaks of all addresses makes as many elements of it.
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
		out := make([]any, 0, len(v))
		for _, inner := range v {
			if text, is := inner.(string); is && placeholder.MatchString(text) {
				each, err := s.filledEach(text, nil)
				if err != nil {
					return nil, err
				}
				for _, one := range each {
					out = append(out, one)
				}
				continue
			}
			one, err := s.filledAll(inner)
			if err != nil {
				return nil, err
			}
			out = append(out, one)
		}
		return out, nil
	default:
		return v, nil
	}
}
