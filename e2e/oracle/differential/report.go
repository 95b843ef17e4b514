package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/svclab/svclab/e2e/world"
)

// print prints a disagreement: the cell, what the oracle says, what the rules do chain by chain, and the smallest world that
// has it.
func (p *proxiers) print(out io.Writer, j job, d disagreement) error {
	w, mode := j.world(), j.mode
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
	if j.past != nil && !fails(w) && broken == nil {
		return p.printPast(out, w, j.past(), mode, d, same)
	}
	small := shrink(w, fails)
	if broken != nil {
		return broken
	}
	if !fails(small) {
		fmt.Fprintf(out, "Kubernetes %s, %s mode: %s to %s: %s\n  It is not there every time: the proxiers wrote other rules for the same world.\n", p.release, mode, d.vantage.Name, d.target.Name(), d.how)
		return nil
	}
	d = found
	fmt.Fprintf(out, "\nKubernetes %s, %s mode: %s to %s (%s port %d/%s)\n  %s\n", p.release, mode, d.vantage.Name, d.target.Name(), d.target.Host, d.target.Port, d.target.Protocol, d.how)
	fmt.Fprintf(out, "oracle: %v, backends %v, sources %s\n  %s [%s]\nrules:\n", d.prediction.Outcomes, d.prediction.Backends, texts(d.prediction.Sources), d.prediction.Reason, d.prediction.Rule)
	for _, e := range in.probes(d.vantage, d.target, nil, true) {
		for _, line := range e.trace {
			fmt.Fprintf(out, "  %s\n", line)
		}
		fmt.Fprintf(out, "  => %s, chance %.3f", e.fate, e.chance)
		if e.backend != "" {
			fmt.Fprintf(out, ": %s at %s, which sees %s", e.backend, e.to, texts(e.sources))
		}
		fmt.Fprintln(out)
	}
	readable, err := readable(small)
	if err != nil {
		return err
	}
	text, err := yaml.Marshal(readable)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "world:\n  %s\n", strings.ReplaceAll(strings.TrimSpace(string(text)), "\n", "\n  "))
	return nil
}

// readable is what of a world is worth reading.
func readable(w world.World) (any, error) {
	text, err := json.Marshal(w.Facts)
	if err != nil {
		return nil, err
	}
	facts := map[string]any{}
	if err := json.Unmarshal(text, &facts); err != nil {
		return nil, err
	}
	delete(facts, "Externals") // the same in all worlds
	maps.DeleteFunc(facts, func(_ string, v any) bool { return v == nil || v == false || v == "" })
	nodes, pods := map[string]any{}, map[string]any{}
	for i := range w.Nodes {
		nodes[w.Nodes[i].Name] = world.NodeAddrs(&w.Nodes[i])
	}
	for i := range w.Pods {
		pods[w.Pods[i].Name+" on "+w.Pods[i].Spec.NodeName] = world.PodAddrs(&w.Pods[i])
	}
	return map[string]any{"facts": facts, "nodes": nodes, "pods": pods, "services": w.Services, "slices": w.Slices, "announcers": w.Announcers}, nil
}
