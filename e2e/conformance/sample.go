package conformance

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/svclab/svclab/e2e/world"
)

// Sample is the nodes that a run deploys clients on and probes.
type Sample struct {
	// Slots maps the short names that scenarios use, "control-plane", "worker", "worker2", …, to nodes.
	Slots map[string]string
	// Order lists the slots: control-plane, worker, worker2, worker3, …
	Order []string
	// Total is the number of the cluster's nodes. Seed chose the sample. Left counts the nodes that could not be chosen, by
	// reason; it does not contain usable nodes outside the sample.
	Total int
	Seed  uint64
	Left  map[string]int
}

// Whole reports whether the sample has every usable node.
func (s Sample) Whole() bool {
	left := 0
	for _, n := range s.Left {
		left += n
	}
	return len(s.Slots)+left == s.Total
}

// choose returns a sample of at most most nodes. The same nodes, in any order, and the same seed give the same sample. Nodes in
// unresponsive are left out with its reason. Only a few scenarios run pods on the slot control-plane, so that slot gets a node
// with taints (a control plane or another) if the sample has one. The worker slots get nodes without taints as long as there
// are enough.
func choose(nodes []corev1.Node, most int, seed uint64, unresponsive map[string]string) Sample {
	s := Sample{Slots: map[string]string{}, Total: len(nodes), Seed: seed, Left: map[string]int{}}
	var open, kept []string
	for i := range nodes {
		node := &nodes[i]
		switch why := unusable(node); {
		case why != "":
			s.Left[why]++
		case keepsOff(node):
			kept = append(kept, node.Name)
		default:
			open = append(open, node.Name)
		}
	}
	random := rand.New(rand.NewPCG(seed, uint64(len(nodes))))
	for _, names := range [][]string{open, kept} {
		slices.Sort(names)
		random.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	}
	// after the shuffle, so that the responsive nodes of an earlier sample remain chosen
	for _, names := range []*[]string{&open, &kept} {
		*names = slices.DeleteFunc(*names, func(name string) bool {
			why := unresponsive[name]
			if why != "" {
				s.Left[why]++
			}
			return why != ""
		})
	}
	first := ""
	switch {
	case len(kept) > 0 && (most > 1 || len(open) == 0):
		first, kept = kept[0], kept[1:]
	case len(open) > 0:
		first, open = open[len(open)-1], open[:len(open)-1]
	}
	rest := slices.Concat(open, kept)
	rest = rest[:max(0, min(len(rest), most-1))]
	slices.Sort(rest)
	if first != "" {
		rest = slices.Insert(rest, 0, first)
	}
	for i, name := range rest {
		slot := slotName(i)
		s.Slots[slot], s.Order = name, append(s.Order, slot)
	}
	return s
}

// slotName returns the i-th slot, named like kind's nodes.
func slotName(i int) string {
	switch i {
	case 0:
		return "control-plane"
	case 1:
		return "worker"
	}
	return fmt.Sprintf("worker%d", i)
}

// unusable returns why no client can run on a node; empty: one can.
func unusable(node *corev1.Node) string {
	switch os := cmp.Or(node.Labels[corev1.LabelOSStable], "linux"); {
	case os != "linux":
		return "runs " + os
	case !world.NodeReady(node):
		return "is not Ready"
	case node.Spec.Unschedulable:
		return "is cordoned"
	case node.Labels[corev1.LabelHostname] != node.Name:
		return "has a kubernetes.io/hostname label that is not its name, by which scenarios choose nodes"
	case node.Labels["type"] == "virtual-kubelet" || node.Labels["type"] == "kwok":
		return "is simulated (label type=" + node.Labels["type"] + ")"
	case !strings.Contains(node.Status.NodeInfo.ContainerRuntimeVersion, "://"): // a kubelet reports TYPE://VERSION
		return "is simulated (it has no container runtime)"
	}
	return ""
}

// keepsOff reports whether the node has a taint that repels pods.
func keepsOff(node *corev1.Node) bool {
	return slices.ContainsFunc(node.Spec.Taints, func(t corev1.Taint) bool {
		return t.Effect == corev1.TaintEffectNoSchedule || t.Effect == corev1.TaintEffectNoExecute
	})
}
