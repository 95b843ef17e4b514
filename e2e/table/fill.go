package table

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"github.com/svclab/svclab/e2e/world"
)

// placeholder matches what is known only when the scenario runs: {clusterIP:SERVICE}, {loadBalancerIP:SERVICE},
// {podIP:POD}, {podLabel:POD} (a pod's address as a DNS label), {nodeIP:SLOT}, {vantageIP:VANTAGE}, and
// {formerIP:SERVICE}, the ClusterIP that a deleted Service had. Each stands for the first of several addresses; with v6
// before the colon for the first IPv6 address, with s for all.
var placeholder = regexp.MustCompile(`\{(clusterIP|formerIP|loadBalancerIP|podIP|podLabel|nodeIP|vantageIP)(s|v6)?:([a-z0-9.-]+)\}`)

// fillNames replaces {namespace} and {domain}.
func (s Site) fillNames(text string) string {
	return strings.NewReplacer("{namespace}", s.Namespace, "{domain}", s.World.Facts.ClusterDomain()).Replace(text)
}

// Fill replaces every placeholder of a text. A text with a placeholder for all addresses is repeated for each, separated
// by commas. An object or an address that is missing is an error.
func (s Site) Fill(text string) (string, error) {
	each, err := s.FillEach(text, nil)
	return strings.Join(each, ","), err
}

// FillEach returns a text with a placeholder for all addresses once for each address that keep accepts; a nil keep accepts
// every address. It returns any other text once.
func (s Site) FillEach(text string, keep func(netip.Addr) bool) ([]string, error) {
	texts := []string{s.fillNames(text)}
	for _, parts := range placeholder.FindAllStringSubmatch(texts[0], -1) {
		found, what, which := parts[0], parts[1], parts[2]
		addrs := s.addresses(what, parts[3])
		if which == "v6" {
			addrs = slices.DeleteFunc(addrs, netip.Addr.Is4)
		}
		if len(addrs) == 0 {
			return nil, fmt.Errorf("%q: no address is known for %s", text, found)
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
		return nil, fmt.Errorf("%q has a placeholder that does not exist", text)
	}
	return texts, nil
}

// addresses returns the addresses that a placeholder stands for; none where the object or its address is missing.
func (s Site) addresses(what, name string) []netip.Addr {
	switch what {
	case "nodeIP":
		for i := range s.World.Nodes {
			if node := &s.World.Nodes[i]; node.Name == s.World.Facts.Slots[name] {
				return slices.Clone(world.NodeAddrs(node))
			}
		}
		return nil
	case "vantageIP":
		for _, v := range s.Vantages {
			if v.Name == name {
				return slices.Clone(v.Addrs)
			}
		}
		return nil
	case "loadBalancerIP":
		if service, found := s.World.Service(s.Namespace + "/" + name); found {
			return world.BalancerAddrs(&service)
		}
		return nil
	case "formerIP":
		if _, exists := s.World.Service(s.Namespace + "/" + name); !exists {
			return slices.Clone(s.Former[name])
		}
		return nil
	case "clusterIP":
		if service, found := s.World.Service(s.Namespace + "/" + name); found {
			return world.ClusterIPs(&service)
		}
		return nil
	}
	for i := range s.World.Pods {
		pod := &s.World.Pods[i]
		// A pod that a workload made has a random suffix, so the workload's name stands for it too.
		if pod.Namespace != s.Namespace || pod.Name != name && (pod.GenerateName == "" || !strings.HasPrefix(pod.Name, name+"-")) {
			continue
		}
		if addrs := world.PodAddrs(pod); len(addrs) > 0 {
			return addrs
		}
	}
	return nil
}

// HasPlaceholder reports whether a text in value, which is decoded JSON, has a placeholder.
func HasPlaceholder(value any) bool {
	switch v := value.(type) {
	case string:
		return placeholder.MatchString(v)
	case map[string]any:
		for _, inner := range v {
			if HasPlaceholder(inner) {
				return true
			}
		}
	case []any:
		return slices.ContainsFunc(v, HasPlaceholder)
	}
	return false
}

// FillValue fills in the texts of decoded JSON, such as a patch, and changes no other value. An element of a list that
// stands for all addresses becomes an element for each.
func (s Site) FillValue(value any) (any, error) {
	var err error
	switch v := value.(type) {
	case string:
		if !placeholder.MatchString(v) {
			return v, nil
		}
		return s.Fill(v)
	case map[string]any:
		out := make(map[string]any, len(v))
		for key, inner := range v {
			if out[key], err = s.FillValue(inner); err != nil {
				return nil, err
			}
		}
		return out, nil
	case []any:
		out := make([]any, 0, len(v))
		for _, inner := range v {
			if text, is := inner.(string); is && placeholder.MatchString(text) {
				each, err := s.FillEach(text, nil)
				if err != nil {
					return nil, err
				}
				for _, one := range each {
					out = append(out, one)
				}
				continue
			}
			one, err := s.FillValue(inner)
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
