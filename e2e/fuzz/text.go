package fuzz

import (
	"fmt"
	"io"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"

	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/report"
)

// YAML are a trial's objects: the Service, its EndpointSlice where it is written by hand, and the pods. The slice is that
// for IPv4, with addresses in place of those that only running pods have. Pods that are not given are left out.
func YAML(t Trial, pods []corev1.Pod) string {
	var documents []string
	add := func(object runtime.Object) { documents = append(documents, text(object)) }
	service := t.Case.Service
	add(&service)
	wanted := slices.Clone(t.Pods)
	if m := t.Case.Manual; m != nil {
		var at []corev1.Pod
		for i, e := range m.Endpoints {
			wanted = append(wanted, e.Pod)
			pod := corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: service.Namespace, Name: e.Pod}, Status: corev1.PodStatus{PodIP: fmt.Sprintf("192.0.2.%d", i+1)}}
			if k := slices.IndexFunc(pods, func(p corev1.Pod) bool { return p.Name == e.Pod }); k >= 0 {
				pod.Spec.NodeName = pods[k].Spec.NodeSelector[corev1.LabelHostname]
			}
			at = append(at, pod)
		}
		served := service
		served.Spec.IPFamilies = []corev1.IPFamily{corev1.IPv4Protocol}
		short := t.Case.clone()
		short.Manual.Many, short.Manual.Waiting = 0, 0
		for _, slice := range short.Slices(&served, at) {
			add(&slice)
			last := len(documents) - 1
			documents[last] = "# 192.0.2.N stands for the address of the N-th endpoint's pod: " + strings.Join(endpointPods(m), ", ") + "\n" + documents[last]
		}
		documents[len(documents)-1] += m.summary(service.Name)
	}
	for i := range pods {
		if slices.Contains(wanted, pods[i].Name) {
			add(&pods[i])
		}
	}
	return strings.Join(documents, "---\n")
}

func endpointPods(m *Manual) []string {
	var names []string
	for _, e := range m.Endpoints {
		names = append(names, e.Pod)
	}
	return names
}

// text is an object as YAML.
func text(object runtime.Object) string {
	object = object.DeepCopyObject()
	switch o := object.(type) {
	case *corev1.Service:
		o.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "Service"}
	case *corev1.Pod:
		o.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"}
	case *discoveryv1.EndpointSlice:
		o.TypeMeta = metav1.TypeMeta{APIVersion: "discovery.k8s.io/v1", Kind: "EndpointSlice"}
	}
	made, err := yaml.Marshal(object)
	if err != nil {
		return fmt.Sprintf("# cannot be printed: %v\n", err)
	}
	return clean(string(made))
}

// clean leaves out the empty status that every object has.
func clean(text string) string {
	var kept []string
	for line := range strings.Lines(text) {
		if trimmed := strings.TrimSpace(line); trimmed == "status: {}" || trimmed == "loadBalancer: {}" || trimmed == "status:" || trimmed == "resources: {}" {
			continue
		}
		kept = append(kept, line)
	}
	return strings.Join(kept, "")
}

// Text writes what a run found: its figures, and each disagreement with its smallest Service and table. Whether it passed
// is said elsewhere, from the verdicts.
func Text(w io.Writer, out Outcome, style report.Style) error {
	if err := disagreementsText(w, out.Disagreements, style); err != nil {
		return err
	}
	return figures(w, out)
}

// disagreementsText writes each disagreement with the smallest Service or history that shows it.
func disagreementsText(w io.Writer, list []Disagreement, style report.Style) error {
	var text strings.Builder
	for _, d := range list {
		fmt.Fprintf(&text, "\ndisagreement at %s: %s\n", d.Service, d.Signature)
		if len(d.Again) > 0 {
			fmt.Fprintf(&text, "seen again at %s\n", strings.Join(d.Again, ", "))
		}
		text.WriteString(d.Ended + "\n\n" + d.YAML + "\n")
		for _, list := range d.Commands {
			text.WriteString(strings.Join(list, "\n") + "\n\n")
		}
		if d.Record != nil {
			text.WriteString(d.why() + "\n\n")
			if d.Timeline != nil {
				text.WriteString(report.TimelineText(*d.Timeline) + "\n")
			}
			continue
		}
		if d.Held != "" {
			text.WriteString(d.Held + "\n\n")
			continue
		}
		table := d.Table
		if len(table.Cells) == 0 {
			table = tableOf("the cells that showed it", d.Cells)
		}
		if err := report.Table(&text, table, style); err != nil {
			return err
		}
	}
	if _, err := io.WriteString(w, text.String()); err != nil {
		return fmt.Errorf("print what was found: %w", err)
	}
	return nil
}

// figures writes the figures of a run.
func figures(w io.Writer, out Outcome) error {
	var text strings.Builder
	s := out.Settings
	if s.Histories > 0 {
		fmt.Fprintf(&text, "\n%d of %d histories played, %d operations in %s, %.0f a minute\n", len(out.Verdicts), len(out.Planned), out.Operations, round(out.Elapsed), float64(out.Operations)/out.Elapsed.Minutes())
		fmt.Fprintf(&text, "%d cells probed; %d records of flows judged, %d requests; %d of the oracle's rules met, %s\n", out.Probed, out.Flows, out.Requests, len(out.Rules), disagreeing(out.Disagreements))
		if n := len(out.Programming); n > 0 {
			list := slices.Sorted(slices.Values(out.Programming))
			fmt.Fprintf(&text, "until the last client followed an operation: p50 %s, p99 %s, slowest %s, of %d operations that new connections noticed\n", round(list[n/2]), round(list[n*99/100]), round(list[n-1]), n)
		}
		fmt.Fprintf(&text, "to repeat: svclab fuzz --seed %d --histories %d --first %d --operations %d --side-by-side %d\n", s.Seed, s.Histories, s.First, s.Operations, s.Side)
	} else {
		fmt.Fprintf(&text, "\n%d of %d Services tried in %d of %d batches, %s\n", out.Services, s.Count, len(out.Verdicts), len(out.Planned), round(out.Elapsed))
		fmt.Fprintf(&text, "%d of %d cells probed (at most %d of each Service), %d of the oracle's rules met, %s\n",
			out.Probed, out.Possible, s.Cells, len(out.Rules), disagreeing(out.Disagreements))
		fmt.Fprintf(&text, "to repeat: svclab fuzz --seed %d --count %d --batch %d --cells %d\n", s.Seed, s.Count, s.Batch, s.Cells)
	}
	if _, err := io.WriteString(w, text.String()); err != nil {
		return fmt.Errorf("print what was found: %w", err)
	}
	return nil
}

func disagreeing(list []Disagreement) string {
	switch len(list) {
	case 0:
		return "no disagreement"
	case 1:
		return "1 kind of disagreement"
	default:
		return fmt.Sprintf("%d kinds of disagreement", len(list))
	}
}

// Result is the worst of the verdicts; a run that lost a batch is at best Inconclusive.
func (o Outcome) Result() reach.Result {
	result := reach.Skipped
	for _, v := range o.Verdicts {
		result = reach.Worse(result, v.Result)
	}
	if len(o.Verdicts) == 0 || len(o.Verdicts) < len(o.Planned) {
		result = reach.Worse(result, reach.Inconclusive)
	}
	return result
}
