package main

import (
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"sigs.k8s.io/yaml"

	"github.com/svclab/svclab/e2e/world"
)

// objects are those that a proxier gets as events.
type objects struct {
	Services []corev1.Service
	Slices   []discoveryv1.EndpointSlice
}

// pastOf are two random states before the i-th world of a seed. Their objects have the same names, so that most of them change, and the
// others come or go. What a proxier wrote for them must leave no trace.
func pastOf(seed uint64, i int) []objects {
	var past []objects
	for n := range 2 {
		w := generate(seed+1, 2*i+n)
		past = append(past, objects{w.Services, w.Slices})
	}
	return past
}

// updates are the changes that lead through a past to a world.
func updates(past []objects, w world.World) []update {
	var (
		list   []update
		before objects
	)
	for _, now := range append(slices.Clone(past), objects{w.Services, w.Slices}) {
		var u update
		u.Services, u.DeletedServices = changed(before.Services, now.Services, func(s *corev1.Service) string { return s.Namespace + "/" + s.Name })
		u.Slices, u.DeletedSlices = changed(before.Slices, now.Slices, func(s *discoveryv1.EndpointSlice) string { return s.Namespace + "/" + s.Name })
		list, before = append(list, u), now
	}
	return list
}

// changed are the items that are new or differ, and the names of those that are gone.
func changed[T any](before, now []T, name func(*T) string) (list []T, gone []string) {
	at := func(items []T, item *T) int {
		return slices.IndexFunc(items, func(other T) bool { return name(&other) == name(item) })
	}
	for i := range now {
		if j := at(before, &now[i]); j < 0 || !reflect.DeepEqual(before[j], now[i]) {
			list = append(list, now[i])
		}
	}
	for i := range before {
		if at(now, &before[i]) < 0 {
			gone = append(gone, name(&before[i]))
		}
	}
	return list, gone
}

// printPast prints a disagreement that a world has only after a past: the smallest past that leads to it, and the world.
func (p *proxiers) printPast(out io.Writer, w world.World, past []objects, mode string, d disagreement, same func(disagreement) bool) error {
	fails := func(w world.World, past []objects) (failed bool) {
		_, err := p.compare(w, mode, func(_ *cluster, o disagreement) { failed = failed || same(o) }, updates(past, w)...)
		return err == nil && failed
	}
	for i := 0; i < len(past); i++ {
		if fewer := slices.Delete(slices.Clone(past), i, i+1); fails(w, fewer) {
			past, i = fewer, i-1
		}
	}
	w = shrink(w, func(smaller world.World) bool { return fails(smaller, past) })
	for i := range past {
		for j := 0; j < len(past[i].Services); j++ {
			fewer := slices.Clone(past)
			name := past[i].Services[j].Name
			fewer[i].Services = slices.Delete(slices.Clone(past[i].Services), j, j+1)
			fewer[i].Slices = slices.DeleteFunc(slices.Clone(past[i].Slices), func(s discoveryv1.EndpointSlice) bool { return s.Labels[discoveryv1.LabelServiceName] == name })
			if fails(w, fewer) {
				past, j = fewer, j-1
			}
		}
	}
	fmt.Fprintf(out, "\nKubernetes %s, %s mode: %s to %s (%s port %d/%s)\n  %s\n  oracle: %s [%s]\nOnly after what was there before:\n", p.release, mode, d.vantage.Name, d.target.Name(),
		d.target.Host, d.target.Port, d.target.Protocol, d.how, d.prediction.Reason, d.prediction.Rule)
	readable, err := readable(w)
	if err != nil {
		return err
	}
	text, err := yaml.Marshal(map[string]any{"before": past, "world": readable})
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "  %s\n", strings.ReplaceAll(strings.TrimSpace(string(text)), "\n", "\n  "))
	return err
}
