package conformance

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	authorizationv1 "k8s.io/api/authorization/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
)

// reviewing is a cluster whose user may do what may says.
func reviewing(may func(verb, group, resource string) bool) *fake.Clientset {
	client := fake.NewClientset()
	client.PrependReactor("create", "selfsubjectaccessreviews", func(action clienttesting.Action) (bool, runtime.Object, error) {
		review := action.(clienttesting.CreateAction).GetObject().(*authorizationv1.SelfSubjectAccessReview)
		a := review.Spec.ResourceAttributes
		resource := a.Resource
		if a.Subresource != "" {
			resource += "/" + a.Subresource
		}
		review.Status.Allowed = may(a.Verb, a.Group, resource)
		return true, review, nil
	})
	return client
}

func TestAllowedNamesEachMissingPermission(t *testing.T) {
	err := Allowed(context.Background(), reviewing(func(verb, _, resource string) bool {
		return resource != "nodes" && (resource != "pods/exec" || verb != "create") && resource != "servicecidrs"
	}), "staging", Permissions())
	var missing *MissingError
	if !errors.As(err, &missing) || missing.ExitCode() != 2 {
		t.Fatalf("got %v", err)
	}
	for _, want := range []string{"staging", "get, list nodes\n", "create pods/exec\n", "list servicecidrs (networking.k8s.io)\n", "nothing was made"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in %s", want, err)
		}
	}
	if len(missing.Missing) != 3 {
		t.Errorf("missing %v", missing.Missing)
	}
}

// What a cluster without MetalLB does not have its user need not be allowed.
func TestAllowedAsksNothingOfGroupsThatAreNotThere(t *testing.T) {
	if err := Allowed(context.Background(), reviewing(func(_, group, _ string) bool { return group != "metallb.io" }), "", Permissions()); err != nil {
		t.Error(err)
	}
}

// The Job's ClusterRole grants each permission that a run needs, and no other.
func TestJobGrantsWhatIsNeeded(t *testing.T) {
	text, err := os.ReadFile("../../manifests/conformance/job.yaml")
	if err != nil {
		t.Fatal(err)
	}
	granted := map[string]bool{}
	decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(text), 4096)
	for {
		var role rbacv1.ClusterRole
		if err := decoder.Decode(&role); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		if role.Kind != "ClusterRole" {
			continue
		}
		for _, rule := range role.Rules {
			name := ""
			if len(rule.ResourceNames) > 0 {
				name = " " + rule.ResourceNames[0]
			}
			for _, resource := range rule.Resources {
				for _, verb := range rule.Verbs {
					granted[strings.TrimSpace(verb+" "+rule.APIGroups[0]+" "+resource+name)] = true
				}
			}
		}
	}
	for _, p := range VisitPermissions("shop", true) { // MissingError names the same ClusterRole
		for _, verb := range p.Verbs {
			if key := strings.TrimSpace(verb + " " + p.Group + " " + p.Resource + " " + p.Name); !granted[key] {
				t.Errorf("the ClusterRole does not grant %s", key)
			}
		}
	}
	for _, p := range Permissions() {
		for _, verb := range p.Verbs {
			key := strings.TrimSpace(verb + " " + p.Group + " " + p.Resource + " " + p.Name)
			if !granted[key] {
				t.Errorf("the ClusterRole does not grant %s", key)
			}
			delete(granted, key)
		}
	}
	for key := range granted {
		t.Errorf("the ClusterRole grants %s, which no run needs", key)
	}
}

func TestPermissionsAreNamedOnce(t *testing.T) {
	var seen []string
	for _, p := range Permissions() {
		key := p.Group + "/" + p.Resource + "/" + p.Name
		if slices.Contains(seen, key) {
			t.Errorf("%s is there twice", key)
		}
		seen = append(seen, key)
	}
}
