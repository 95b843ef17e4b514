package mutants

import (
	"context"
	"errors"
	"fmt"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/svclab/svclab/e2e/wait"
)

// admitted makes the API server admit a Service that it should refuse: a MutatingAdmissionPolicy changes the Service while it
// is created. The policy is about Services of the name; change is its JSON patch. It labels what it changes, too.
func admitted(p struct {
	Name   string             `json:"name"`
	Spec   corev1.ServiceSpec `json:"spec"`
	Change string             `json:"change"`
}) Fault {
	name := mutantMark + "-" + p.Name
	example := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: p.Name}, Spec: p.Spec}
	change := fmt.Sprintf(`[%s, JSONPatch{op: "add", path: "/metadata/labels", value: {%q: "policy"}}]`, p.Change, mutantLabel)
	// until has the API server try to make the Service, without doing it, until it is changed, or is not. Whether it is
	// refused does not tell: a dry run admits node ports of any number.
	until := func(ctx context.Context, lab Lab, changed bool) error {
		return wait.For(ctx, "the API server to apply, or to forget, policy "+name, func(ctx context.Context) (bool, string, error) {
			made, err := lab.Client().CoreV1().Services(metav1.NamespaceDefault).Create(ctx, example.DeepCopy(),
				metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}, FieldManager: mutantMark})
			if err != nil && !apierrors.IsInvalid(err) {
				return false, "", fmt.Errorf("try to make service %s: %w", example.Name, err)
			}
			applied := err == nil && made.Labels[mutantLabel] != ""
			return applied == changed, fmt.Sprintf("applied: %t", applied), nil
		})
	}
	return Fault{
		Inject: func(ctx context.Context, lab Lab, _ Scene) error {
			policies := lab.Client().AdmissionregistrationV1().MutatingAdmissionPolicies()
			policy := &admissionv1.MutatingAdmissionPolicy{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{mutantLabel: "policy"}},
				Spec: admissionv1.MutatingAdmissionPolicySpec{
					FailurePolicy: new(admissionv1.Fail), ReinvocationPolicy: admissionv1.NeverReinvocationPolicy,
					MatchConstraints: &admissionv1.MatchResources{ResourceRules: []admissionv1.NamedRuleWithOperations{{RuleWithOperations: admissionv1.RuleWithOperations{
						Operations: []admissionv1.OperationType{admissionv1.Create},
						Rule:       admissionv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"services"}}}}}},
					MatchConditions: []admissionv1.MatchCondition{{Name: "name", Expression: fmt.Sprintf("object.metadata.name == %q", example.Name)}},
					Mutations:       []admissionv1.Mutation{{PatchType: admissionv1.PatchTypeJSONPatch, JSONPatch: &admissionv1.JSONPatch{Expression: change}}},
				}}
			if _, err := policies.Create(ctx, policy, metav1.CreateOptions{}); err != nil {
				return fmt.Errorf("make policy %s: %w", name, err)
			}
			binding := &admissionv1.MutatingAdmissionPolicyBinding{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{mutantLabel: "policy"}},
				Spec: admissionv1.MutatingAdmissionPolicyBindingSpec{PolicyName: name}}
			if _, err := lab.Client().AdmissionregistrationV1().MutatingAdmissionPolicyBindings().Create(ctx, binding, metav1.CreateOptions{}); err != nil {
				return fmt.Errorf("bind policy %s: %w", name, err)
			}
			return until(ctx, lab, true)
		},
		Revert: func(ctx context.Context, lab Lab) error {
			policies, bindings := lab.Client().AdmissionregistrationV1().MutatingAdmissionPolicies(), lab.Client().AdmissionregistrationV1().MutatingAdmissionPolicyBindings()
			mine := metav1.ListOptions{FieldSelector: "metadata.name=" + name}
			list, err := policies.List(ctx, mine)
			if apierrors.IsNotFound(err) || err == nil && len(list.Items) == 0 {
				return nil // nor can there be any in a Kubernetes that has no such policies
			}
			if err != nil {
				return fmt.Errorf("look for policy %s: %w", name, err)
			}
			if err := errors.Join(bindings.DeleteCollection(ctx, metav1.DeleteOptions{}, mine), policies.DeleteCollection(ctx, metav1.DeleteOptions{}, mine)); err != nil {
				return fmt.Errorf("remove policy %s: %w", name, err)
			}
			return errors.Join(until(ctx, lab, false), removeAdmitted(ctx, lab))
		},
	}
}

// removeAdmitted deletes the Services that came in.
func removeAdmitted(ctx context.Context, lab Lab) error {
	list, err := lab.Client().CoreV1().Services(metav1.NamespaceAll).List(ctx, metav1.ListOptions{LabelSelector: mutantLabel})
	if err != nil {
		return fmt.Errorf("find the services that were admitted: %w", err)
	}
	return remove(list.Items, func(namespace, name string) error {
		return lab.Client().CoreV1().Services(namespace).Delete(ctx, name, metav1.DeleteOptions{})
	})
}
