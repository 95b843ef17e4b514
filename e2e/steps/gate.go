package steps

import (
	"context"
	"fmt"
	"regexp"

	"github.com/svclab/svclab/e2e/scenario"
)

// Gated returns why the API server cannot do what a step needs a feature gate for; empty: it can. It tells by the metric
// kubernetes_feature_enabled which of its gates are on, those that are on by default included.
// https://kubernetes.io/docs/reference/instrumentation/metrics/
func (env *Env) Gated(ctx context.Context, step scenario.Step) string {
	if step.Gate == "" {
		return ""
	}
	text, err := env.Cluster.Client().CoreV1().RESTClient().Get().AbsPath("/metrics").SetHeader("Accept", "text/plain, */*").Do(ctx).Raw()
	if err != nil {
		return fmt.Sprintf("needs the feature gate %s, and whether the API server has it on is not known: %v", step.Gate, err)
	}
	found := regexp.MustCompile(`(?m)^kubernetes_feature_enabled\{name="` + regexp.QuoteMeta(step.Gate) + `",[^}]*\} ([01])`).FindSubmatch(text)
	switch {
	case found == nil:
		return fmt.Sprintf("needs the feature gate %s, which this release of the API server does not have", step.Gate)
	case string(found[1]) == "0":
		return fmt.Sprintf("needs the feature gate %s, which is off in this API server", step.Gate)
	}
	return ""
}
