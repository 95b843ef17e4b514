package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/svclab/svclab/e2e/releases"
	"github.com/svclab/svclab/e2e/world"
)

// chosen are the cases of those names; none and "all" are all.
func chosen(cases []releases.Case, names []string) ([]releases.Case, error) {
	if names == nil || slices.Equal(names, []string{"all"}) {
		return cases, nil
	}
	var list []releases.Case
	for _, name := range names {
		i := slices.IndexFunc(cases, func(c releases.Case) bool { return c.Name == name })
		if i < 0 {
			return nil, fmt.Errorf("manifests/releases has no bug %s that shows in rules", name)
		}
		list = append(list, cases[i])
	}
	return list, nil
}

// caseWorld is the world in which a case ends, and the changes that lead there. It has the nodes, pods and addresses of shapes.
func caseWorld(c releases.Case) (world.World, []update, error) {
	w := shape{change: func(b *builder) { b.web, b.w.Services, b.w.Slices = nil, nil, nil }}.world()
	if c.Rules.Facts.Interfaces {
		w.Facts.Detection = world.DetectUnknown
	}
	w.Facts.NodePortAddresses = c.Rules.Facts.NodePortAddresses
	var history []update
	for _, step := range c.Rules.History {
		var made update
		for _, s := range c.Objects[step.Apply].Services {
			s.Namespace = "demo"
			made.Services = append(made.Services, s)
			w.Services = append(slices.DeleteFunc(w.Services, func(old corev1.Service) bool { return old.Name == s.Name }), s)
		}
		for _, s := range c.Objects[step.Apply].Slices {
			s.Namespace = "demo"
			made.Slices = append(made.Slices, s)
			w.Slices = append(slices.DeleteFunc(w.Slices, func(old discoveryv1.EndpointSlice) bool { return old.Name == s.Name }), s)
		}
		for _, object := range step.Delete {
			kind, name, _ := strings.Cut(object, "/")
			services, slicesBefore := len(w.Services), len(w.Slices)
			switch kind {
			case "service":
				made.DeletedServices = append(made.DeletedServices, "demo/"+name)
				w.Services = slices.DeleteFunc(w.Services, func(s corev1.Service) bool { return s.Name == name })
			case "endpointslice":
				made.DeletedSlices = append(made.DeletedSlices, "demo/"+name)
				w.Slices = slices.DeleteFunc(w.Slices, func(s discoveryv1.EndpointSlice) bool { return s.Name == name })
			}
			if len(w.Services) == services && len(w.Slices) == slicesBefore {
				return w, nil, fmt.Errorf("case %s deletes %s, which is not there: want service/NAME or endpointslice/NAME", c.Name, object)
			}
		}
		history = append(history, made)
	}
	return w.Sorted(), history, nil
}

// showCases has one release show the cases, in the modes they are about, and prints what each did. agree is false where a release
// that has a bug does not show it, or another does.
func (s settings) showCases(ctx context.Context, program [2]string, cases []releases.Case, out io.Writer) (outcomes []releases.Outcome, agree bool, err error) {
	p, err := startProxiers(ctx, program[0], program[1])
	if err != nil {
		return nil, false, err
	}
	agree = true
	for _, c := range cases {
		for _, mode := range c.Modes {
			if !slices.Contains(s.modes, mode) {
				continue
			}
			o, err := p.show(c, mode)
			if err != nil {
				return nil, false, fmt.Errorf("case %s, %s mode: %w", c.Name, mode, err)
			}
			outcomes = append(outcomes, o)
			agree = agree && o.AsKnown()
			fmt.Fprintln(out, o)
		}
	}
	return outcomes, agree, p.stop()
}

// show runs one case.
func (p *proxiers) show(c releases.Case, mode string) (releases.Outcome, error) {
	o := releases.Outcome{Release: p.release, Mode: mode, Case: c.Name, Known: c.Has(p.release, mode), Ran: true}
	w, history, err := caseWorld(c)
	if err != nil {
		return o, err
	}
	_, err = p.compare(w, mode, func(_ *cluster, d disagreement) {
		if o.Shown {
			return
		}
		o.Shown = d.prediction.Rule == c.Rules.Rule
		if o.Shown || o.Seen == "" {
			o.Seen = fmt.Sprintf("%s to %s: %s; %s [%s]", d.vantage.Name, d.target.Name(), d.how, d.prediction.Reason, d.prediction.Rule)
		}
	}, history...)
	if err != nil && c.Rules.Fails != "" && strings.Contains(err.Error(), c.Rules.Fails) {
		o.Shown, o.Seen, err = true, err.Error(), nil
	}
	return o, err
}

// save writes outcomes as JSON.
func save(file string, outcomes []releases.Outcome) error {
	text, err := json.MarshalIndent(outcomes, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(text, '\n'), 0o644)
}
