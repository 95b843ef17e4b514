package fuzz

import (
	"fmt"
	"io"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/report"
)

// YAML are a trial's objects: the Service, its EndpointSlice where it is written by hand, and the pods. The slice is that
// for IPv4, with addresses in place of those that only running pods have. Pods that are not given are left out.
func YAML(t Trial, pods []corev1.Pod) string {
	var documents []string
	add := func(object any) {
		text, err := yaml.Marshal(object)
		if err != nil {
			text = fmt.Appendf(nil, "# cannot be printed: %v\n", err)
		}
		documents = append(documents, clean(string(text)))
	}
	service := t.Case.Service
	service.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "Service"}
	add(service)
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
		for _, slice := range t.Case.Slices(&served, at) {
			slice.TypeMeta = metav1.TypeMeta{APIVersion: "discovery.k8s.io/v1", Kind: "EndpointSlice"}
			add(slice)
			last := len(documents) - 1
			documents[last] = "# 192.0.2.N stands for the address of the N-th endpoint's pod: " + strings.Join(endpointPods(m), ", ") + "\n" + documents[last]
		}
	}
	for i := range pods {
		if slices.Contains(wanted, pods[i].Name) {
			pod := *pods[i].DeepCopy()
			pod.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"}
			add(pod)
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
	var text strings.Builder
	for _, d := range out.Disagreements {
		fmt.Fprintf(&text, "\ndisagreement at %s: %s\n", d.Service, d.Signature)
		if len(d.Again) > 0 {
			fmt.Fprintf(&text, "seen again at %s\n", strings.Join(d.Again, ", "))
		}
		text.WriteString(d.Ended + "\n\n" + d.YAML + "\n")
		table := d.Table
		if len(table.Cells) == 0 {
			table = tableOf("the cells that showed it", d.Cells)
		}
		if err := report.Table(&text, table, style); err != nil {
			return err
		}
	}
	s := out.Settings
	fmt.Fprintf(&text, "\n%d of %d Services tried in %d of %d batches, %s\n", out.Services, s.Count, len(out.Verdicts), len(out.Planned), round(out.Elapsed))
	fmt.Fprintf(&text, "%d of %d cells probed (at most %d of each Service), %d of the oracle's rules met, %s\n",
		out.Probed, out.Possible, s.Cells, len(out.Rules), disagreeing(out.Disagreements))
	fmt.Fprintf(&text, "to repeat: svclab fuzz --seed %d --count %d --batch %d --cells %d\n", s.Seed, s.Count, s.Batch, s.Cells)
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
