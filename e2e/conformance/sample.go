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

// Sample is the nodes that a run stands on and asks.
type Sample struct {
	// Slots maps the short names that scenarios use, "control-plane", "worker", "worker2", …, to nodes.
	Slots map[string]string
	// Order lists the slots: control-plane, worker, worker2, worker3, …
	Order []string
	// Total is how many nodes the cluster has, Seed what those of the sample were chosen by. Left says why nodes could not
	// be chosen, with how many that is so of; those that merely were not chosen are not in it.
	Total int
	Seed  uint64
	Left  map[string]int
}

// Whole reports whether every node that could be chosen was.
func (s Sample) Whole() bool {
	left := 0
	for _, n := range s.Left {
		left += n
	}
	return len(s.Slots)+left == s.Total
}

// choose takes at most most of the nodes by the seed: the same nodes, in whatever order, and the same seed give the same
// sample. Those that silent has are left out for the reason it gives. Scenarios put no pod of theirs on the slot control-plane but a few, so a node that keeps pods off (a control
// plane, another tainted one) stands there where the sample has one; the workers are nodes that take any pod as long as
// there are enough of them.
func choose(nodes []corev1.Node, most int, seed uint64, silent map[string]string) Sample {
	s := Sample{Slots: map[string]string{}, Total: len(nodes), Seed: seed, Left: map[string]int{}}
	var open, kept []string
	for i := range nodes {
		node := &nodes[i]
		switch why := unfit(node); {
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
	// after they were shuffled, so that the others stay chosen
	for _, names := range []*[]string{&open, &kept} {
		*names = slices.DeleteFunc(*names, func(name string) bool {
			why := silent[name]
			if why != "" {
				s.Left[why]++
			}
			return why != ""
		})
	}
	first := ""
	switch {
	case len(kept) > 0 && most > 1:
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

// slotName is the i-th slot, as kind names nodes.
func slotName(i int) string {
	switch i {
	case 0:
		return "control-plane"
	case 1:
		return "worker"
	}
	return fmt.Sprintf("worker%d", i)
}

// unfit says why no client can stand on a node; empty where one can.
func unfit(node *corev1.Node) string {
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
		return "is no machine (label type=" + node.Labels["type"] + ")"
	case !strings.Contains(node.Status.NodeInfo.ContainerRuntimeVersion, "://"): // a kubelet says TYPE://VERSION
		return "is no machine (it names no container runtime)"
	}
	return ""
}

// keepsOff reports whether a taint keeps pods off the node that do not tolerate it.
func keepsOff(node *corev1.Node) bool {
	return slices.ContainsFunc(node.Spec.Taints, func(t corev1.Taint) bool {
		return t.Effect == corev1.TaintEffectNoSchedule || t.Effect == corev1.TaintEffectNoExecute
	})
}
