package steps

import (
	"context"
	"fmt"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	"github.com/svclab/svclab/e2e/grace"
	"github.com/svclab/svclab/e2e/scenario"
	"github.com/svclab/svclab/e2e/table"
	"github.com/svclab/svclab/e2e/wait"
)

// FieldManager is the manager of every field that a scenario's manifests set.
const FieldManager = "svclab"

// address is an object's place in the API.
type address struct {
	mapping   *meta.RESTMapping
	namespace string // empty for cluster-scoped objects
	name      string
}

func (a address) String() string { return a.mapping.Resource.Resource + "/" + a.name }

func (env *Env) in(a address) dynamic.ResourceInterface {
	resource := env.Cluster.Dynamic().Resource(a.mapping.Resource)
	if a.namespace == "" {
		return resource
	}
	return resource.Namespace(a.namespace)
}

// resolve finds the place a reference means. The kind is singular, plural or with its group, as for kubectl.
func (env *Env) resolve(ref scenario.Ref) (address, error) {
	group := schema.ParseGroupResource(ref.Kind)
	gvk, err := env.mapper.KindFor(group.WithVersion(""))
	if err != nil {
		return address{}, fmt.Errorf("object %s: %w", ref, err)
	}
	mapping, err := env.mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
	if err != nil {
		return address{}, fmt.Errorf("object %s: %w", ref, err)
	}
	name, err := renamedText(ref.Name, env.Facts.Slots)
	if err != nil {
		return address{}, err
	}
	at := address{mapping: mapping, name: name, namespace: ref.Namespace}
	switch {
	case mapping.Scope.Name() == meta.RESTScopeNameRoot:
		at.namespace = ""
	case at.namespace == "":
		at.namespace = env.Namespace
	}
	return at, nil
}

// foreign reports whether the object is not in the scenario's own namespaces.
func (env *Env) foreign(a address) bool {
	return a.namespace != env.Namespace && !slices.Contains(env.Also, a.namespace)
}

// admitted calls do until the API server can admit: no webhook is unreachable, and a new namespace has its ServiceAccount. It is
// bounded by the step's time. A request that has begun may finish after the run is cancelled: the API server keeps the node port of
// a Service whose creation was cancelled for minutes.
func (env *Env) admitted(ctx context.Context, name string, do func(context.Context) error) error {
	for {
		request, done := grace.Context(ctx)
		err := do(request)
		done()
		// The API server reports a webhook that it cannot call as an internal error, and a denial with another code. Only the
		// text tells it from the other internal errors.
		webhook := apierrors.IsInternalError(err) && strings.Contains(err.Error(), "failed calling webhook")
		account := apierrors.IsForbidden(err) && strings.Contains(err.Error(), "error looking up service account")
		if !webhook && !account {
			return err
		}
		env.Progress.Say("the API server to admit "+name, err.Error())
		if !pause(ctx, relook/20) {
			return fmt.Errorf("gave up waiting for the API server to admit it: %w", err)
		}
	}
}

// awaitObject waits until look accepts an object; look gets nil while the object does not exist.
func (env *Env) awaitObject(ctx context.Context, at address, what string, holds scenario.Duration, look func(*unstructured.Unstructured) (bool, string)) error {
	source := wait.Objects{Resource: at.mapping.Resource, Namespace: at.namespace, Name: at.name}
	return env.Await(ctx, fmt.Sprintf("%s %s", at, what), []wait.Objects{source}, holds.Or(0), func(ctx context.Context) (bool, string, error) {
		object, err := env.in(at).Get(ctx, at.name, metav1.GetOptions{})
		switch {
		case apierrors.IsNotFound(err):
			object = nil
		case err != nil:
			return false, err.Error(), nil
		}
		done, seen := look(object)
		return done, seen, nil
	})
}

// expand resolves a reference; the name * stands for all objects of the kind there. None is an error.
func (env *Env) expand(ctx context.Context, ref scenario.Ref) ([]address, error) {
	at, err := env.resolve(ref)
	if err != nil {
		return nil, err
	}
	if ref.Name != "*" {
		return []address{at}, nil
	}
	list, err := env.in(at).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", ref, err)
	}
	if len(list.Items) == 0 {
		return nil, fmt.Errorf("%s: there is none", ref)
	}
	places := make([]address, len(list.Items))
	for i, item := range list.Items {
		places[i] = address{mapping: at.mapping, namespace: at.namespace, name: item.GetName()}
	}
	return places, nil
}

// fillIn fills in the placeholders of a patch.
func (env *Env) fillIn(ctx context.Context, value any) (any, error) {
	if !table.HasPlaceholder(value) {
		return value, nil
	}
	w, err := env.snapshot(ctx)
	if err != nil {
		return nil, err
	}
	return table.Site{Namespace: env.Namespace, World: w, Vantages: env.Vantages}.FillValue(value)
}
