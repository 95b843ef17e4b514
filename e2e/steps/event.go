package steps

import (
	"context"
	"errors"
	"fmt"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/svclab/svclab/e2e/scenario"
	"github.com/svclab/svclab/e2e/wait"
)

// Event waits for an event about an object, recorded since the scenario began.
type Event struct {
	Object scenario.Ref     `json:"object"`
	Reason string           `json:"reason"`
	Type   string           `json:"type,omitempty"`
	Has    scenario.Strings `json:"message,omitempty"`
}

// Validate wants an object and a reason.
func (e Event) Validate(scenario.Scenario) error {
	if e.Object.Kind == "" || e.Reason == "" {
		return errors.New("want object and reason")
	}
	return nil
}

// Describe says which event.
func (e Event) Describe() string {
	text := fmt.Sprintf("event %s about %s", e.Reason, e.Object)
	if len(e.Has) > 0 {
		text += ", with " + strings.Join(e.Has, ", ")
	}
	return text
}

// ReadOnly is true.
func (Event) ReadOnly() bool { return true }

// Do waits for the event. Events of earlier runs cannot be taken for it: namespaces are
// never used twice.
func (e Event) Do(ctx context.Context, env *Env) (Report, error) {
	at, err := env.resolve(e.Object)
	if err != nil {
		return Report{}, err
	}
	var (
		kind   = at.mapping.GroupVersionKind.Kind
		what   = fmt.Sprintf("event %s about %s", e.Reason, at)
		report Report
	)
	err = env.Await(ctx, what, []wait.Objects{{Resource: corev1Resource("events"), Namespace: at.namespace}}, 0,
		func(ctx context.Context) (bool, string, error) {
			list, err := env.Cluster.Client().CoreV1().Events(at.namespace).List(ctx, metav1.ListOptions{
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
					report.Lines = []string{seen[len(seen)-1]}
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
