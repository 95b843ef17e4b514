package main

import (
	"fmt"
	"io"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/svclab/svclab/e2e/world"
)

// print prints a disagreement: the cell, what the oracle says, what the rules do chain by chain, and the smallest world that
// has it.
func (p *proxiers) print(out io.Writer, w world.World, mode string, d disagreement) error {
	same := func(o disagreement) bool {
		return o.exception == nil && o.vantage.Kind == d.vantage.Kind && o.target.Kind == d.target.Kind && o.prediction.Rule == d.prediction.Rule
	}
	var (
		broken error
		found  disagreement
		in     *cluster
	)
	fails := func(smaller world.World) bool {
		failed := false
		_, err := p.compare(smaller, mode, func(c *cluster, o disagreement) {
			if !failed && same(o) {
				failed, found, in = true, o, c
			}
		})
		if err != nil {
			broken = err
		}
		return failed
	}
	small := shrink(w, fails)
	if broken != nil {
		return broken
	}
	if !fails(small) {
		return fmt.Errorf("the disagreement at %s to %s is not there the second time", d.vantage.Name, d.target.Name())
	}
	d = found
	fmt.Fprintf(out, "\nKubernetes %s, %s mode: %s to %s (%s port %d/%s)\n  %s\n", p.minor, mode, d.vantage.Name, d.target.Name(), d.target.Host, d.target.Port, d.target.Protocol, d.how)
	fmt.Fprintf(out, "oracle: %v, backends %v, sources %s\n  %s [%s]\nrules:\n", d.prediction.Outcomes, d.prediction.Backends, texts(d.prediction.Sources), d.prediction.Reason, d.prediction.Rule)
	for _, e := range in.probes(d.vantage, d.target, nil, true) {
		for _, line := range e.trace {
			fmt.Fprintf(out, "  %s\n", line)
		}
		fmt.Fprintf(out, "  => %s %s %s, sources %s, chance %.3f\n", e.fate, e.to, e.backend, texts(e.sources), e.chance)
	}
	text, err := yaml.Marshal(readable(small))
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "world:\n  %s\n", strings.ReplaceAll(strings.TrimSpace(string(text)), "\n", "\n  "))
	return nil
}

// readable is what of a world is worth reading: it has no nodes, which are the same in all worlds but for second addresses.
func readable(w world.World) any {
	type node struct {
		Name  string
		Addrs any
	}
	var nodes []node
	for i := range w.Nodes {
		nodes = append(nodes, node{w.Nodes[i].Name, world.NodeAddrs(&w.Nodes[i])})
	}
	var pods []node
	for i := range w.Pods {
		pods = append(pods, node{w.Pods[i].Name + " on " + w.Pods[i].Spec.NodeName, world.PodAddrs(&w.Pods[i])})
	}
	return map[string]any{"facts": w.Facts, "nodes": nodes, "pods": pods, "services": w.Services, "slices": w.Slices, "announcers": w.Announcers}
}
