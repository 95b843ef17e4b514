package runner

import (
	"context"
	"fmt"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/svclab/svclab/e2e/steps"
)

// object waits until an object is as described, and stays so as long as asked.
func (s *session) object(ctx context.Context, d steps.Object) (stepReport, error) {
	at, err := s.resolve(d.Ref)
	if err != nil {
		return stepReport{}, err
	}
	what := "to be as described"
	if d.Absent {
		what = "to be absent"
	}
	var broken error
	if err := s.awaitObject(ctx, at, what, d.Holds, func(o *unstructured.Unstructured) (bool, string) {
		var difference string
		if difference, broken = d.Mismatch(o); broken != nil {
			return true, broken.Error() // no use to wait: the description itself is wrong
		}
		if difference == "" {
			return true, "as described"
		}
		return false, difference
	}); err != nil {
		return stepReport{}, err
	}
	if broken != nil {
		return stepReport{}, broken
	}
	line := fmt.Sprintf("%s is as described", at)
	if d.Absent {
		line = fmt.Sprintf("there is no %s", at)
	}
	return stepReport{lines: []string{line}}, nil
}

// event waits for an event about an object. Events of earlier runs cannot be taken for it: namespaces are
// never used twice.
func (s *session) event(ctx context.Context, e steps.Event) (stepReport, error) {
	at, err := s.resolve(e.Object)
	if err != nil {
		return stepReport{}, err
	}
	var (
		kind   = at.mapping.GroupVersionKind.Kind
		what   = fmt.Sprintf("event %s about %s", e.Reason, at)
		report stepReport
	)
	err = s.await(ctx, what, []watched{{resource: corev1Resource("events"), namespace: at.namespace}}, 0,
		func(ctx context.Context) (bool, string, error) {
			list, err := s.runner.cluster.Client().CoreV1().Events(at.namespace).List(ctx, metav1.ListOptions{
				FieldSelector: "involvedObject.name=" + at.name})
			if err != nil {
				return false, err.Error(), nil
			}
			var seen []string
			for _, event := range list.Items {
				if event.InvolvedObject.Kind != kind || event.InvolvedObject.Name != at.name {
					continue
				}
				seen = append(seen, fmt.Sprintf("%s %s: %s", event.Type, event.Reason, event.Message))
				if event.Reason == e.Reason && (e.Type == "" || event.Type == e.Type) && containsAll(event.Message, e.Has) {
					report.lines = []string{seen[len(seen)-1]}
					return true, "", nil
				}
			}
			if len(seen) == 0 {
				return false, "no event", nil
			}
			return false, strings.Join(seen, "; "), nil
		})
	return report, err
}

func containsAll(text string, parts []string) bool {
	for _, part := range parts {
		if !strings.Contains(text, part) {
			return false
		}
	}
	return true
}
